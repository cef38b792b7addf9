//! Re-indents JSON text; the order of keys and the spelling of numbers stay, as in Go's `json.Indent`.

/// Indents `text`, which must be valid JSON, with `by` for each level.
pub(crate) fn reindent(text: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut fresh = false;
    let mut quoted = false;
    let mut escaped = false;
    for c in text.chars() {
        // Strings are kept as they are; an escaped quote does not end one.
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
            // An empty object or array stays on one line.
        }
        let closes = matches!(c, '}' | ']');
        if fresh && !closes {
            line(&mut out, depth, by);
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !fresh {
                    line(&mut out, depth, by);
                }
            }
            '"' => quoted = true,
            _ => {}
        }
        out.push(c);
        fresh = matches!(c, '{' | '[');
        match c {
            ',' => line(&mut out, depth, by),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

fn line(out: &mut String, depth: usize, by: &str) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_strings_stay() {
        let text = r#"{"b":[1,{"x":"a,{\"}"}],"a":{},"c":[], "d" : -1e3}"#;
        let expected = "{\n  \"b\": [\n    1,\n    {\n      \"x\": \"a,{\\\"}\"\n    }\n  ],\n  \"a\": {},\n  \"c\": [],\n  \"d\": -1e3\n}";
        assert_eq!(reindent(text, "  "), expected);
        assert_eq!(reindent(expected, "  "), expected);
    }
}
