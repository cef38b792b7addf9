//! Signal names and numbers, with or without `SIG`, for `--stop-signal` and `kill`.

use dhow_error::{Failure, invalid};

/// Linux's standard signals.
const NAMES: [(i32, &str); 33] = [
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (6, "IOT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (17, "CLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (30, "PWR"),
    (31, "SYS"),
];

/// glibc and musl reserve 32 and 33 (and musl 34) for internal use; docker starts at 34.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Parses `SIGTERM`, `term`, `15`, `RTMIN+3` or `SIGRTMAX-1`.
pub fn parse(text: &str) -> Result<i32, Failure> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = name.parse::<i32>().ok().filter(|number| (1..=RTMAX).contains(number));
    number.or_else(|| standard(name)).or_else(|| realtime(name)).ok_or_else(|| {
        invalid(format!("invalid signal: `{}`", text.escape_debug()))
            .hint("a name such as SIGTERM, or a number")
    })
}

fn standard(name: &str) -> Option<i32> {
    // A synonym on Linux (signal(7)).
    let name = if name == "POLL" { "IO" } else { name };
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

fn realtime(name: &str) -> Option<i32> {
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text[1..].parse::<i32>().ok() };
    let number = if let Some(rest) = name.strip_prefix("RTMIN").filter(|rest| is_offset(rest, '+')) {
        RTMIN.checked_add(offset(rest)?)?
    } else {
        RTMAX.checked_sub(offset(name.strip_prefix("RTMAX").filter(|rest| is_offset(rest, '-'))?)?)?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

fn is_offset(rest: &str, sign: char) -> bool {
    rest.is_empty() || (rest.starts_with(sign) && rest[1..].bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_realtime() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGPOLL", 29),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("rtmax-1", 63),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "0", "65", "-1", "NOPE", "RTMIN+99", "RTMAX+1", "RTMIN+-1", "RTMINé"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
