//! Encoding functions: base64, CSV, JSON, URLs, hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha512};

use super::{BuiltinResult, CallArguments};
use dhow_error::{Failure, invalid};
use dhow_model::digest;
use dhow_model::flags::csv;

pub(super) fn call(name: &str, arguments: &CallArguments<'_>) -> BuiltinResult {
    Some(match name {
        "base64decode" => decode(arguments),
        "base64encode" => arguments.text(0).map(|text| Value::String(STANDARD.encode(text))),
        "csvdecode" => csv(arguments),
        "jsondecode" => arguments.text(0).and_then(|text| {
            serde_json::from_str(&text).map_err(|why| invalid(format!("this is not JSON: {why}")))
        }),
        "jsonencode" => arguments.get(0).map(|value| Value::String(value.to_string())),
        "sha256" => arguments.text(0).map(|text| Value::String(digest::hex(&Sha256::digest(text)))),
        "sha512" => arguments.text(0).map(|text| Value::String(digest::hex(&Sha512::digest(text)))),
        "urlencode" => arguments.text(0).map(|text| Value::String(url(&text))),
        _ => return None,
    })
}

fn decode(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let bytes = STANDARD.decode(arguments.text(0)?).map_err(|why| invalid(why.to_string()))?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| invalid("the result is not UTF-8"))
}

/// Like Go's `url.QueryEscape`.
fn url(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn csv(arguments: &CallArguments<'_>) -> Result<Value, Failure> {
    let text = arguments.text(0)?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let header = csv::fields(lines.next().ok_or_else(|| invalid("the table has no heading"))?)?;
    let row = |line: &str| -> Result<Value, Failure> {
        let fields = csv::fields(line)?;
        if fields.len() != header.len() {
            return Err(invalid("a row has another length than the heading"));
        }
        let cells = header.iter().cloned().zip(fields.into_iter().map(Value::String));
        Ok(Value::Object(cells.collect::<Map<_, _>>()))
    };
    lines.map(row).collect()
}
