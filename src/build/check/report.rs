//! The output of `--call check`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::ast::LineRange;
use crate::dockerfile::excerpt::excerpt;
use crate::progress::CheckWarning;
use dhow_error::Failure;

#[derive(Clone, Copy, Debug)]
pub struct CheckReport<'a> {
    pub file: &'a str,
    pub source: &'a str,
    /// Sorted by line.
    pub warnings: &'a [CheckWarning],
    /// An error found without running anything.
    pub error: Option<&'a Failure>,
}

impl CheckReport<'_> {
    /// As text, with the error last.
    pub fn text(&self) -> String {
        let mut text = match self.warnings.len() {
            0 if self.error.is_some() => String::new(),
            0 => "Check complete, no warnings found.\n".to_owned(),
            1 => "Check complete, 1 warning has been found!\n".to_owned(),
            count => format!("Check complete, {count} warnings have been found!\n"),
        };
        for warning in self.warnings {
            let (first, last) = warning.lines;
            text.push_str(&format!("\nWARNING: {} - {}\n{}\n", warning.rule, warning.url, warning.message));
            text.push_str(&excerpt(self.file, self.source, &(first..=last)));
        }
        if let Some(error) = self.error {
            let between = if self.warnings.is_empty() { "" } else { "\n" };
            let shown =
                error.lines().map(|lines| excerpt(self.file, self.source, &lines)).unwrap_or_default();
            text.push_str(&format!("{between}ERROR: {error}\n{shown}"));
        }
        text
    }

    /// As JSON, in the format of BuildKit's `frontend.lint`.
    pub fn json(&self) -> Value {
        let warnings: Vec<Value> = self.warnings.iter().map(warning).collect();
        let mut report = json!({ "warnings": warnings, "sources": [source(self.file, self.source)] });
        if let (Some(error), Some(report)) = (self.error, report.as_object_mut()) {
            let location = error.lines().map_or_else(|| json!({}), |lines| location(&lines));
            report.insert("buildError".into(), json!({ "message": error.to_string(), "location": location }));
        }
        report
    }
}

fn warning(warning: &CheckWarning) -> Value {
    json!({
        "ruleName": warning.rule,
        "description": warning.description,
        "url": warning.url,
        "detail": warning.message,
        "location": location(&(warning.lines.0..=warning.lines.1)),
    })
}

/// A location in BuildKit's format.
pub fn location(lines: &LineRange) -> Value {
    json!({ "ranges": [{ "start": { "line": lines.start() }, "end": { "line": lines.end() } }] })
}

/// In base64, as Go marshals `[]byte`.
fn source(name: &str, text: &str) -> Value {
    json!({ "filename": name, "language": "Dockerfile", "data": STANDARD.encode(text) })
}
