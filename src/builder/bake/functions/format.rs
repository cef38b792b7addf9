//! `format` and `formatlist`, with the verbs of Go's fmt that HCL supports.

use serde_json::Value;

use crate::bake::value;
use dhow_error::{Failure, invalid};

/// The largest width and precision.
const MAX_WIDTH: usize = 1000;

/// `format("%s-%03d", a, b)`.
pub(super) fn format(arguments: &[Value]) -> Result<Value, Failure> {
    let (pattern, values) = arguments.split_first().ok_or_else(|| invalid("too few arguments"))?;
    render(&value::as_text(pattern)?, values).map(Value::String)
}

/// Formats once for each element of the lists among the arguments.
pub(crate) fn format_list(arguments: &[Value]) -> Result<Value, Failure> {
    let (pattern, values) = arguments.split_first().ok_or_else(|| invalid("too few arguments"))?;
    let pattern = value::as_text(pattern)?;
    let mut lengths = values.iter().filter_map(|value| value.as_array().map(Vec::len));
    let length = lengths.next().unwrap_or(1);
    if lengths.any(|other| other != length) {
        return Err(invalid("the lists are of different lengths"));
    }
    let row = |at: usize| -> Vec<Value> {
        let item = |value: &Value| match value {
            Value::Array(items) => items.get(at).cloned().unwrap_or_default(),
            other => other.clone(),
        };
        values.iter().map(item).collect()
    };
    (0..length).map(|at| render(&pattern, &row(at)).map(Value::String)).collect()
}

/// The part between `%` and the verb.
#[derive(Default)]
struct FormatFlags {
    left: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

fn render(pattern: &str, values: &[Value]) -> Result<String, Failure> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut flags = FormatFlags::default();
        while let Some(flag) = rest.next_if(|c| matches!(c, '-' | '+' | '0' | '#' | ' ')) {
            match flag {
                '-' => flags.left = true,
                '+' => flags.plus = true,
                '0' => flags.zero = true,
                '#' => flags.sharp = true,
                _ => {}
            }
        }
        flags.width = digits(&mut rest);
        if rest.next_if_eq(&'.').is_some() {
            flags.precision = Some(digits(&mut rest));
        }
        let verb = rest.next().ok_or_else(|| invalid("the format ends behind `%`"))?;
        let value = values.next().ok_or_else(|| invalid(format!("not enough arguments for %{verb}")))?;
        out += &padded(format_verb(verb, value, &flags)?, &flags);
    }
    match values.next() {
        Some(_) => Err(invalid("too many arguments; no verb in the format uses the last")),
        None => Ok(out),
    }
}

fn digits(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut number = 0;
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        number = (number * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(MAX_WIDTH);
    }
    number
}

fn format_verb(verb: char, value: &Value, flags: &FormatFlags) -> Result<String, Failure> {
    let integer = || value::as_number(value).map(|number| number.trunc() as i64);
    let sign = |text: String| if flags.plus && !text.starts_with('-') { format!("+{text}") } else { text };
    Ok(match verb {
        's' => {
            let text = value::as_text(value)?;
            flags.precision.map_or_else(|| text.clone(), |count| text.chars().take(count).collect())
        }
        'q' => Value::String(value::as_text(value)?).to_string(),
        'v' if flags.sharp => value.to_string(),
        'v' => value::as_text(value).unwrap_or_else(|_| value.to_string()),
        't' => value::as_bool(value)?.to_string(),
        'd' => sign(integer()?.to_string()),
        'x' => format!("{:x}", integer()?),
        'X' => format!("{:X}", integer()?),
        'o' => format!("{:o}", integer()?),
        'b' => format!("{:b}", integer()?),
        'f' | 'F' => {
            let digits = flags.precision.unwrap_or(6);
            sign(format!("{:.digits$}", value::as_number(value)?))
        }
        'e' => format!("{:e}", value::as_number(value)?),
        'g' => sign(value::as_number(value)?.to_string()),
        other => return Err(invalid(format!("unsupported format verb %{other}"))),
    })
}

fn padded(text: String, flags: &FormatFlags) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if flags.left {
        return text + &" ".repeat(missing);
    }
    if !flags.zero {
        return " ".repeat(missing) + &text;
    }
    // Zeros go between the sign and the digits.
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => text.split_at(text.len() - digits.len()),
        None => ("", text.as_str()),
    };
    format!("{sign}{}{digits}", "0".repeat(missing))
}
