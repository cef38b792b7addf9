//! Dockerfile instructions that change an image's config, for `commit --change` and `import --change`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::duration;
use super::image::RunConfig;
use dhow_error::{Failure, invalid};

/// Applies one instruction, such as `ENV COLOUR=blue`, to `config`.
pub fn apply(config: &mut RunConfig, instruction: &str) -> Result<(), Failure> {
    let text = instruction.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = word.to_ascii_uppercase();
    let rest = rest.trim();
    let instructions = [
        "CMD",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "ONBUILD",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    if !instructions.contains(&name.as_str()) {
        return Err(invalid(format!("{} is not a valid change command", word.escape_debug()))
            .hint(format!("those are {}", instructions.join(", "))));
    }
    if rest.is_empty() {
        return Err(invalid(format!("the change {name} requires an argument")));
    }
    apply_instruction(config, &name, rest).map_err(|failure| {
        let why = failure.to_string();
        invalid(format!("invalid change `{}`: {why}", text.escape_debug()))
    })
}

fn apply_instruction(config: &mut RunConfig, name: &str, rest: &str) -> Result<(), Failure> {
    match name {
        "CMD" => config.cmd = Some(command(rest)?),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)?),
        "ENV" => set_env(config, rest)?,
        "LABEL" => {
            let pairs = pairs(rest, &config.env)?;
            config.labels.get_or_insert_default().extend(pairs);
        }
        "EXPOSE" => {
            for port in expand_words(rest, &config.env)? {
                config
                    .exposed_ports
                    .extend(super::port_range::parse(&port)?.into_iter().map(|port| (port, json!({}))));
            }
        }
        "VOLUME" => {
            let paths = match list(rest) {
                Some(paths) => paths?,
                None => expand_words(rest, &config.env)?,
            };
            config.volumes.extend(paths.into_iter().map(|path| (path, json!({}))));
        }
        "USER" => config.user = expand_word(rest, &config.env)?,
        "STOPSIGNAL" => config.stop_signal = expand_word(rest, &config.env)?,
        "WORKDIR" => {
            let path = expand_word(rest, &config.env)?;
            // Relative to the WORKDIR so far.
            config.working_dir = join(&config.working_dir, &path);
        }
        // Not parsed here: the build that uses the image does it.
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        // `apply` has checked the name, so this is HEALTHCHECK.
        _ => config.healthcheck = Some(healthcheck(rest)?),
    }
    Ok(())
}

/// Exec form, or shell form.
fn command(rest: &str) -> Result<Vec<String>, Failure> {
    list(rest).unwrap_or_else(|| Ok(vec!["/bin/sh".into(), "-c".into(), rest.into()]))
}

/// A JSON array of strings; like docker, anything else counts as shell form.
fn list(rest: &str) -> Option<Result<Vec<String>, Failure>> {
    serde_json::from_str(rest).ok().map(Ok)
}

fn set_env(config: &mut RunConfig, rest: &str) -> Result<(), Failure> {
    for (name, value) in pairs(rest, &config.env)? {
        let entry = format!("{name}={value}");
        // Overwrites in place: the order of variables is kept.
        let same = |old: &String| old.split('=').next() == Some(&name);
        match config.env.iter_mut().find(|old| same(old)) {
            Some(old) => *old = entry,
            None => config.env.push(entry),
        }
    }
    Ok(())
}

/// `NAME=value …`, or the legacy `NAME value`.
fn pairs(rest: &str, env: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let first = rest.split_whitespace().next().unwrap_or_default();
    // The legacy form takes a single pair, whose value is the rest of the line.
    if !first.contains('=') {
        let (name, value) =
            rest.split_once(char::is_whitespace).ok_or_else(|| invalid("it needs a name and a value"))?;
        return Ok(vec![(name.to_owned(), expand_word(value.trim(), env)?)]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(invalid(format!("`{}` is not NAME=value", word.escape_debug()))),
    };
    expand_words(rest, env)?.into_iter().map(pair).collect()
}

fn join(dir: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", dir.trim_end_matches('/'))
}

/// `NONE`, or flags and `CMD`, in the format of the image config: durations in nanoseconds.
fn healthcheck(rest: &str) -> Result<Value, Failure> {
    let mut check = BTreeMap::new();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, next) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        rest = next.trim_start();
        let (name, value) = option.split_once('=').ok_or_else(|| invalid("an option lacks its value"))?;
        let key = match name {
            "interval" => "Interval",
            "timeout" => "Timeout",
            "start-period" => "StartPeriod",
            "start-interval" => "StartInterval",
            "retries" => "Retries",
            _ => return Err(invalid(format!("unknown option --{}", name.escape_debug()))),
        };
        let number = match key {
            "Retries" => {
                value.parse::<u32>().map(Into::into).map_err(|_| invalid("--retries needs a number"))?
            }
            _ => u64::try_from(duration::parse(value)?.as_nanos())
                .map_err(|_| invalid("a time is too long"))?,
        };
        check.insert(key, json!(number));
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let test = match (kind.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => json!(["NONE"]),
        ("CMD", command) if !command.is_empty() => match list(command) {
            Some(list) => json!([vec!["CMD".to_owned()], list?].concat()),
            None => json!(["CMD-SHELL", command]),
        },
        _ => return Err(invalid("it needs NONE, or CMD and a command")),
    };
    check.insert("Test", test);
    Ok(json!(check))
}

fn expand_word(text: &str, env: &[String]) -> Result<String, Failure> {
    Ok(split_words(text, env, false)?.pop().unwrap_or_default())
}

fn expand_words(text: &str, env: &[String]) -> Result<Vec<String>, Failure> {
    split_words(text, env, true)
}

/// Splits at white space (unless `split` is false), removes quotes, and replaces `$NAME` and `${NAME}`
/// outside single quotes.
fn split_words(text: &str, env: &[String], split: bool) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, quote) {
            // Only unquoted white space separates words; with `split` false the whole text is one word.
            (c, None) if c.is_whitespace() && split => words.extend(word.take()),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            // As in a shell, a backslash is literal in single quotes, and in double quotes unless what follows is special
            // there.
            ('\\', Some('"')) if !rest.as_str().starts_with(['"', '$', '\\']) => {
                // docker ignores one at the end.
                if !rest.as_str().is_empty() {
                    word.get_or_insert_default().push(c);
                }
            }
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(rest.next()),
            ('$', None | Some('"')) => {
                let value = variable(&mut rest, env)?;
                word.get_or_insert_default().push_str(&value);
            }
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(invalid("a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// The value of the variable whose name follows; empty if unset.
fn variable(rest: &mut std::str::Chars<'_>, env: &[String]) -> Result<String, Failure> {
    let text = rest.as_str();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, after) = match text.strip_prefix('{') {
        Some(braced) => {
            let (name, after) = braced.split_once('}').ok_or_else(|| invalid("`${` is not closed"))?;
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(invalid(format!("`${{{}}}` is not the name of a variable", name.escape_debug())));
            }
            (name, after)
        }
        None => text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len())),
    };
    *rest = after.chars();
    // A `$` that names nothing is literal, as in a shell.
    if name.is_empty() {
        return Ok("$".into());
    }
    let value = env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
    Ok(value.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> RunConfig {
        let mut config = RunConfig::default();
        for change in changes {
            apply(&mut config, change).unwrap();
        }
        config
    }

    #[test]
    fn commands_are_lists_or_shell_lines() {
        let config = changed(&["CMD [\"echo\", \"a b\"]", "entrypoint echo $HOME"]);
        assert_eq!(config.cmd.unwrap(), ["echo", "a b"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "echo $HOME"]);
        assert_eq!(changed(&["CMD [not json"]).cmd.unwrap(), ["/bin/sh", "-c", "[not json"]);
    }

    #[test]
    fn variables_and_labels() {
        let config = changed(&[
            "ENV A=1 B=\"two words\" C='$A'",
            "ENV D the whole  line",
            "ENV A=${A}:$B",
            r"LABEL note=a\ b x=",
        ]);
        assert_eq!(config.env, ["A=1:two words", "B=two words", "C=$A", "D=the whole  line"]);
        let labels = config.labels.unwrap();
        assert_eq!((labels["note"].as_str(), labels["x"].as_str()), ("a b", ""));
        let quoted =
            changed(&[r#"LABEL path="C:\new\\x" word="a\"b\$c" single='\n\\' bare=\n\\"#]).labels.unwrap();
        assert_eq!(quoted.values().collect::<Vec<_>>(), [r"n\", r"C:\new\x", r"\n\\", r#"a"b$c"#]);
    }

    #[test]
    fn the_rest() {
        let config = changed(&[
            "EXPOSE 80 53/udp 8000-8001",
            "VOLUME [\"/a\", \"/b c\"]",
            "VOLUME /d /e",
            "USER worker:staff",
            "WORKDIR /srv",
            "WORKDIR data",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN true",
            "HEALTHCHECK --interval=5s --retries=2 CMD curl -f localhost",
        ]);
        let ports: Vec<_> = config.exposed_ports.keys().cloned().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
        let volumes: Vec<_> = config.volumes.keys().cloned().collect();
        assert_eq!(volumes, ["/a", "/b c", "/d", "/e"]);
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("worker:staff", "/srv/data"));
        assert_eq!(config.stop_signal, "SIGINT");
        assert_eq!(config.on_build.unwrap(), ["RUN true"]);
        let check = config.healthcheck.unwrap();
        assert_eq!(check["Interval"], 5_000_000_000u64);
        assert_eq!(check["Test"], json!(["CMD-SHELL", "curl -f localhost"]));
        assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.unwrap()["Test"], json!(["NONE"]));
    }

    #[test]
    fn refusals_name_the_change() {
        for (change, why) in [
            ("RUN something", "RUN is not a valid change command"),
            ("", "is not a valid change command"),
            ("ENV", "requires an argument"),
            ("ENV x", "name and a value"),
            ("ENV =x", "NAME=value"),
            ("ENV a=\"b", "quote"),
            ("ENV a=${b", "not closed"),
            ("ENV a=${b:-c}", "not the name"),
            ("EXPOSE 0", "not a port"),
            ("EXPOSE 70000", "not a port"),
            ("EXPOSE 1/icmp", "not a port"),
            ("HEALTHCHECK --x=1 CMD y", "--x"),
            ("HEALTHCHECK maybe", "needs NONE"),
        ] {
            let error = apply(&mut RunConfig::default(), change).unwrap_err().to_string();
            assert!(error.contains(why), "{change}: {error}");
        }
    }
}
