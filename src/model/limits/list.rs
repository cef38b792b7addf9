//! Lists of CPUs and memory nodes: `0-2,4`.

use dhow_error::{Failure, invalid};

/// Guards against huge ranges; the kernel's NR_CPUS is at most 8192.
const MAX_NUMBER: u32 = 8191;

/// The numbers of a list, sorted, without duplicates. An empty list has none.
pub fn parse_list(text: &str) -> Result<Vec<u32>, Failure> {
    let malformed = || invalid(format!("invalid format: {}", text.escape_debug()));
    let number = |text: &str| match text.parse::<u32>() {
        Ok(number) if number <= MAX_NUMBER && text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(malformed()),
    };
    let mut numbers = Vec::new();
    let text = text.trim();
    if text.is_empty() {
        return Ok(numbers);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(malformed());
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_ranges() {
        assert_eq!(parse_list("").unwrap(), [] as [u32; 0]);
        assert_eq!(parse_list("3").unwrap(), [3]);
        assert_eq!(parse_list("4,0-2,1\n").unwrap(), [0, 1, 2, 4]);
        for bad in ["-", "0-", "-1", "a", "0,,1", "2-1", "0-99999", "+1", "0 1"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
    }
}
