//! Parses the `WWW-Authenticate` header (RFC 9110, section 11).

use std::collections::BTreeMap;

/// One authentication scheme offered by a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthChallenge {
    /// In lower case: `bearer`, `basic`, …
    pub scheme: String,
    /// Names in lower case.
    pub parameters: BTreeMap<String, String>,
}

impl AuthChallenge {
    /// The value of a parameter; empty if it is missing.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }
}

/// Parses one header value, which may contain several challenges. Malformed parts are skipped.
pub(crate) fn parse_challenges(header: &str) -> Vec<AuthChallenge> {
    let mut scanner = ChallengeScanner { rest: header };
    let mut challenges: Vec<AuthChallenge> = Vec::new();
    while let Some(word) = scanner.word() {
        // A word without a value is the scheme of the next challenge.
        match scanner.value() {
            Some(value) => {
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
                }
            }
            None => challenges
                .push(AuthChallenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() }),
        }
    }
    challenges
}

struct ChallengeScanner<'a> {
    rest: &'a str,
}

impl<'a> ChallengeScanner<'a> {
    /// The next token, skipping separators and invalid characters.
    fn word(&mut self) -> Option<&'a str> {
        let start = self.rest.find(is_token)?;
        self.rest = self.rest.get(start..)?;
        Some(self.token())
    }

    fn token(&mut self) -> &'a str {
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    /// The value after an equals sign, if there is one; empty for the padding of bare base64 text.
    fn value(&mut self) -> Option<String> {
        let after = self.rest.trim_start().strip_prefix('=')?;
        self.rest = after.trim_start();
        match self.rest.strip_prefix('"') {
            Some(quoted) => {
                self.rest = quoted;
                Some(self.quoted())
            }
            None => Some(self.token().to_owned()),
        }
    }

    /// The rest of a quoted string; the closing quote may be missing.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut characters = self.rest.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => text.extend(characters.next()),
                other => text.push(other),
            }
        }
        self.rest = characters.as_str();
        text
    }
}

/// Token characters of RFC 9110, plus those of unquoted URLs and base64 text.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemes(header: &str) -> Vec<String> {
        parse_challenges(header).into_iter().map(|c| c.scheme).collect()
    }

    #[test]
    fn reads_a_token_challenge() {
        let parsed = parse_challenges(
            r#"Bearer realm="https://auth.example/token",service="reg\"istry", scope="repository:a/b:pull,push" , error=invalid_token"#,
        );
        assert_eq!(parsed.len(), 1);
        let bearer = &parsed[0];
        assert_eq!(bearer.scheme, "bearer");
        assert_eq!(bearer.parameter("realm"), "https://auth.example/token");
        assert_eq!(bearer.parameter("service"), "reg\"istry");
        assert_eq!(bearer.parameter("scope"), "repository:a/b:pull,push");
        assert_eq!(bearer.parameter("error"), "invalid_token");
        assert_eq!(bearer.parameter("missing"), "");
    }

    #[test]
    fn several_challenges_share_a_header() {
        assert_eq!(schemes(r#"Basic realm="a, b", Bearer Realm=https://x/y"#), ["basic", "bearer"]);
        assert_eq!(
            parse_challenges(r#"Basic realm="a, b", Bearer Realm=https://x/y"#)[1].parameter("realm"),
            "https://x/y"
        );
        assert_eq!(schemes("Negotiate, Basic"), ["negotiate", "basic"]);
        assert!(schemes("Negotiate YWJj==, Basic realm=x").contains(&"basic".to_owned()));
        assert_eq!(schemes(""), Vec::<String>::new());
    }

    #[test]
    fn survives_nonsense() {
        for text in ["=", "\"", "Bearer realm=\"", "a=b=c", "\\", "Bearer realm=\"\\", ",,,=,", "ä=ö, Basic"]
        {
            parse_challenges(text);
        }
    }
}
