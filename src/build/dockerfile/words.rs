//! Splits the text of an instruction. Quotes and escapes stay in place: expansion removes them.

/// White space that separates words; unlike `char::is_whitespace` not the no-break space.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c')
}

/// Splits at the first run of blanks.
pub(super) fn split_first(text: &str) -> (&str, Option<&str>) {
    match text.find(is_blank) {
        Some(at) => {
            let (word, rest) = text.split_at(at);
            (word, Some(rest.trim_start_matches(is_blank)))
        }
        None => (text, None),
    }
}

/// Splits at all blanks, regardless of quotes.
pub(super) fn split_blanks(text: &str) -> Vec<String> {
    text.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The flags at the start of `text`, unquoted, and the rest.
pub(super) fn split_flags(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, after) = unquoted(rest);
        rest = after;
        if word == "--" {
            return (flags, rest.trim_start());
        }
        flags.push(word);
    }
}

/// The first word without quotes and backslashes, and the rest.
fn unquoted(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match (c, quote) {
            // Quotes protect white space in a flag: `--mount="a b"`.
            (_, None) if c.is_whitespace() => return (word, text.get(at..).unwrap_or_default()),
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if open == c => quote = None,
            ('\\', _) => word.extend(rest.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// Splits at white space outside quotes, which are kept. `escape` works outside quotes and in double quotes.
pub(super) fn split_quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if quote.is_none() && c.is_whitespace() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        if c == escape && quote != Some('\'') {
            // A trailing escape character is dropped.
            if let Some(escaped) = rest.next() {
                word.push(c);
                word.push(escaped);
            }
            continue;
        }
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_other_word() {
        assert_eq!(split_flags("--a=1 --b  x --c"), (vec!["--a=1".into(), "--b".into()], "x --c"));
        assert_eq!(split_flags("--a='1 2'\"3\" x"), (vec!["--a=1 23".into()], "x"));
        assert_eq!(split_flags(r"--a=\ 1 x"), (vec!["--a= 1".into()], "x"));
        assert_eq!(split_flags("--a -- --b"), (vec!["--a".into()], "--b"));
        assert_eq!(split_flags("-a --b"), (vec![], "-a --b"));
        assert_eq!(split_flags("--a"), (vec!["--a".into()], ""));
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(split_quoted(r#"a="b c" d='e "f' g\ h"#, '\\'), [r#"a="b c""#, r#"d='e "f'"#, r"g\ h"]);
        assert_eq!(split_quoted(r#"a="b\" c" 'd\' e"#, '\\'), [r#"a="b\" c""#, r"'d\'", "e"]);
        assert_eq!(split_quoted("a=`  b", '`'), ["a=` ", "b"]);
        assert_eq!(split_quoted("", '\\'), Vec::<String>::new());
        assert_eq!(split_blanks(" a \t b\u{a0}c "), ["a", "b\u{a0}c"]);
    }
}
