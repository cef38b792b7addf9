//! `printf`: Go's verbs with flags, width and precision, for the types that JSON has.

use serde_json::Value;

use super::value::{exponent, format_value, type_name};
use crate::output::humanize::{quote, quote_ascii, quote_char};

/// Larger widths are cut to this.
const MAX_WIDTH: usize = 1_000_000;

/// A verb, with its flags, width and precision.
#[derive(Default)]
struct FormatVerb {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
    letter: char,
}

/// Formats `arguments` as `format` says.
pub(crate) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut printed = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        printed.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        match FormatVerb::read(&mut rest) {
            None => printed.push_str("%!(NOVERB)"),
            Some(verb) if verb.letter == '%' => printed.push('%'),
            Some(verb) => match arguments.next() {
                Some(argument) => printed.push_str(&verb.print(argument)),
                None => printed.push_str(&format!("%!{}(MISSING)", verb.letter)),
            },
        }
    }
    printed.push_str(rest);
    // Go reports mistakes within the result instead of failing.
    let extra: Vec<String> =
        arguments.map(|value| format!("{}={}", type_name(value), format_value(value))).collect();
    if !extra.is_empty() {
        printed.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    printed
}

impl FormatVerb {
    /// Parses the verb in front of `rest`.
    fn read(rest: &mut &str) -> Option<Self> {
        let mut verb = Self::default();
        loop {
            match rest.chars().next()? {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '0' => verb.zero = true,
                ' ' => verb.space = true,
                '#' => verb.sharp = true,
                _ => break,
            }
            *rest = rest.get(1..)?;
        }
        verb.width = number(rest);
        if let Some(tail) = rest.strip_prefix('.') {
            *rest = tail;
            verb.precision = Some(number(rest).unwrap_or(0));
        }
        verb.letter = rest.chars().next()?;
        *rest = rest.get(verb.letter.len_utf8()..)?;
        Some(verb)
    }

    fn print(&self, value: &Value) -> String {
        match self.format(value) {
            Some(formatted) => self.pad(formatted, value.is_number()),
            None => format!("%!{}({}={})", self.letter, type_name(value), format_value(value)),
        }
    }

    fn format(&self, value: &Value) -> Option<String> {
        match (self.letter, value) {
            ('v', Value::String(text)) if self.sharp => Some(quote(text)),
            ('v', value) => Some(format_value(value)),
            ('T', value) => Some(type_name(value).into()),
            ('t', Value::Bool(truth)) => Some(truth.to_string()),
            ('s', Value::String(text)) => Some(self.cut(text)),
            ('q', Value::String(text)) => Some(self.quoted(&self.cut(text))),
            ('s' | 'q', Value::Array(list)) => {
                let items: Option<Vec<String>> = list.iter().map(|item| self.format(item)).collect();
                Some(format!("[{}]", items?.join(" ")))
            }
            ('s', Value::Object(_)) => Some(format_value(value)),
            ('x' | 'X', Value::String(text)) => Some(self.case(dhow_model::digest::hex(text.as_bytes()))),
            (_, Value::Number(number)) => match number.as_i64() {
                Some(integer) => self.integer(integer),
                None => self.float(number.as_f64()?),
            },
            _ => None,
        }
    }

    fn integer(&self, value: i64) -> Option<String> {
        let absolute = value.unsigned_abs();
        let digits = match self.letter {
            'd' => absolute.to_string(),
            'x' | 'X' => self.case(format!("{}{absolute:x}", if self.sharp { "0x" } else { "" })),
            'o' => format!("{absolute:o}"),
            'b' => format!("{absolute:b}"),
            'c' => return Some(character(value).to_string()),
            'q' => return Some(quote_char(character(value))),
            _ => return None,
        };
        Some(self.signed(value < 0, digits))
    }

    fn float(&self, value: f64) -> Option<String> {
        // The precision comes from the template, and must not take all memory.
        let (absolute, precision) = (value.abs(), self.precision.unwrap_or(6).min(1000));
        let digits = match self.letter {
            'f' | 'F' => format!("{absolute:.precision$}"),
            'e' | 'E' => self.case(exponent(&format!("{absolute:.precision$e}"))),
            'g' | 'G' => format_value(&absolute.into()),
            _ => return None,
        };
        Some(self.signed(value < 0.0, digits))
    }

    fn signed(&self, negative: bool, digits: String) -> String {
        match (negative, self.plus, self.space) {
            (true, ..) => format!("-{digits}"),
            (false, true, _) => format!("+{digits}"),
            (false, false, true) => format!(" {digits}"),
            (false, false, false) => digits,
        }
    }

    fn case(&self, text: String) -> String {
        if self.letter.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
    }

    /// The value of `%q`: in backquotes with `#` where that needs no escapes, in ASCII with `+`.
    fn quoted(&self, text: &str) -> String {
        let is_raw = |c: char| c == '\t' || !(c.is_control() || matches!(c, '`' | '\u{feff}'));
        match (self.sharp, self.plus) {
            (true, _) if text.chars().all(is_raw) => format!("`{text}`"),
            (_, true) => quote_ascii(text),
            _ => quote(text),
        }
    }

    fn cut(&self, text: &str) -> String {
        match self.precision {
            Some(characters) => text.chars().take(characters).collect(),
            None => text.to_owned(),
        }
    }

    fn pad(&self, formatted: String, is_number: bool) -> String {
        let padding = self.width.unwrap_or(0).saturating_sub(formatted.chars().count());
        if self.minus {
            return formatted + &" ".repeat(padding);
        }
        if self.zero && is_number {
            // Zeros go between the sign and the digits.
            let digits = formatted.trim_start_matches(['-', '+', ' ']);
            let sign = formatted.get(..formatted.len() - digits.len()).unwrap_or_default();
            return format!("{sign}{}{digits}", "0".repeat(padding));
        }
        " ".repeat(padding) + &formatted
    }
}

/// The character with this code point; Go prints U+FFFD for what is none.
fn character(code: i64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Parses the number in front of `rest`, at most [`MAX_WIDTH`].
fn number(rest: &mut &str) -> Option<usize> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, tail) = rest.split_at_checked(end)?;
    *rest = tail;
    if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(MAX_WIDTH).min(MAX_WIDTH)) }
}
