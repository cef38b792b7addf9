//! Re-indents JSON text; the order of keys and the spelling of numbers stay, as in Go's `json.Indent`.

/// Indents `text`, which must be valid JSON, with `indent` for each level.
pub(crate) fn reindent(text: &str, indent: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut just_opened = false;
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        // Strings are kept as they are; an escaped quote does not end one.
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        // An empty object or array stays on one line.
        let closes = matches!(c, '}' | ']');
        if just_opened && !closes {
            new_line(&mut out, depth, indent);
        }
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !just_opened {
                    new_line(&mut out, depth, indent);
                }
            }
            '"' => in_string = true,
            _ => {}
        }
        out.push(c);
        just_opened = matches!(c, '{' | '[');
        match c {
            ',' => new_line(&mut out, depth, indent),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize, indent: &str) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(indent);
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
