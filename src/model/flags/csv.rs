//! One line of comma-separated values with double quotes (RFC 4180), as `--mount` and other flags in long
//! form use it.

use dhow_error::{Failure, invalid};

pub fn fields(line: &str) -> Result<Vec<String>, Failure> {
    let malformed = || invalid(format!("`{}` is not a list of comma-separated values", line.escape_debug()));
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, tail) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(malformed)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(fields),
            None => return Err(malformed()),
        }
    }
}

/// The field up to its closing quote, and the rest.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                // A doubled quote is a literal one.
                field.push('"');
                rest = after;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_unquotes() {
        assert_eq!(fields("a=1,b").unwrap(), ["a=1", "b"]);
        assert_eq!(fields(r#""src=/a,b",c,"q""q""#).unwrap(), ["src=/a,b", "c", "q\"q"]);
        assert_eq!(fields("a,,b").unwrap(), ["a", "", "b"]);
        for bad in ["\"a", "\"a\"b,c"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
