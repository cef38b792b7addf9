//! Functions on times, which are RFC 3339 strings.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde_json::Value;

use super::{BuiltinResult, CallArguments};
use dhow_error::{Failure, invalid};
use dhow_model::duration;

pub(super) fn call(name: &str, arguments: &CallArguments<'_>) -> BuiltinResult {
    Some(match name {
        "timestamp" => Ok(Value::String(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        "timeadd" => add(arguments),
        "formatdate" | "formattimestamp" => format(arguments),
        "unixtimestampparse" => from_unix(arguments),
        _ => return None,
    })
}

fn read(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|_| invalid(format!("{text:?} is no time")))
}

fn add(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let (time, text) = (read(&arguments.text(0)?)?, arguments.text(1)?);
    let (negative, bare) = match text.strip_prefix('-') {
        Some(bare) => (true, bare),
        None => (false, text.as_str()),
    };
    let span = SignedDuration::try_from(duration::parse(bare)?).map_err(|why| invalid(why.to_string()))?;
    let result = time.checked_add(if negative { -span } else { span });
    result.map(|time| Value::String(time.to_string())).map_err(|why| invalid(why.to_string()))
}

fn from_unix(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let time = Timestamp::from_second(arguments.number(0)? as i64).map_err(|why| invalid(why.to_string()))?;
    let zoned = time.to_zoned(TimeZone::UTC);
    let field = |format: &str| zoned.strftime(format).to_string();
    Ok(serde_json::json!({
        "year": zoned.year(), "month": zoned.month(), "day": zoned.day(), "hour": zoned.hour(),
        "minute": zoned.minute(), "second": zoned.second(), "rfc3339": time.to_string(),
        "month_name": field("%B"), "weekday_name": field("%A"), "weekday": zoned.weekday().to_sunday_zero_offset(),
        "year_day": zoned.day_of_year(),
    }))
}

/// `formatdate("YYYY-MM-DD", time)`: letters are replaced by parts of the time, quoted text is copied.
fn format(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let pattern = arguments.text(0)?;
    let time = read(&arguments.text(1)?)?.to_zoned(TimeZone::UTC);
    let mut out = String::new();
    let mut rest = pattern.as_str();
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            let (text, after) =
                split_quoted(quoted).ok_or_else(|| invalid("a quote in the format does not end"))?;
            out.push_str(&text);
            rest = after;
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(c).len();
        let (part, after) = rest.split_at(run);
        match strftime(part) {
            Some(directive) => out += &time_part(&time, directive),
            None if c.is_ascii_alphabetic() => {
                return Err(invalid(format!("unsupported date format verb {part:?}")));
            }
            None => out.push_str(part),
        }
        rest = after;
    }
    Ok(Value::String(out))
}

/// The text up to the quote that ends it, and what follows. Two quotes in a row are a literal one, also in place of a
/// quoted text.
fn split_quoted(quoted: &str) -> Option<(String, &str)> {
    if let Some(after) = quoted.strip_prefix('\'') {
        return Some(("'".into(), after));
    }
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('\'')?;
        text.push_str(part);
        let Some(more) = after.strip_prefix('\'') else { return Some((text, after)) };
        text.push('\'');
        rest = more;
    }
}

fn time_part(time: &Zoned, directive: &str) -> String {
    time.strftime(directive).to_string()
}

/// Translates HCL's letters to strftime's.
fn strftime(part: &str) -> Option<&'static str> {
    Some(match part {
        "YYYY" => "%Y",
        "YY" => "%y",
        "MMMM" => "%B",
        "MMM" => "%b",
        "MM" => "%m",
        "M" => "%-m",
        "DD" => "%d",
        "D" => "%-d",
        "EEEE" => "%A",
        "EEE" => "%a",
        "hh" => "%H",
        "h" => "%-H",
        "HH" => "%I",
        "H" => "%-I",
        "mm" => "%M",
        "m" => "%-M",
        "ss" => "%S",
        "s" => "%-S",
        "AA" => "%p",
        "aa" => "%P",
        "Z" => "Z",
        "ZZZ" => "UTC",
        "ZZZZ" => "%z",
        "ZZZZZ" => "%:z",
        _ => return None,
    })
}
