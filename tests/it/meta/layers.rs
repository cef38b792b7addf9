//! Holds the architecture that `src/lib.rs` draws: which folder may import which, and what belongs to one folder alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer and the layers that it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("cli", &["engine", "build", "image", "network", "sandbox", "store", "sys", "model", "error"]),
    ("engine", &["build", "image", "network", "sandbox", "store", "sys", "model", "error"]),
    ("build", &["sys", "model", "error"]),
    ("image", &["store", "sys", "model", "error"]),
    ("network", &["sys", "model", "error"]),
    ("sandbox", &["sys", "model", "error"]),
    ("store", &["sys", "model", "error"]),
    ("sys", &["model", "error"]),
    ("model", &["error"]),
    ("error", &[]),
];

/// Text that only some layers may contain, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("unsafe", &["sys"], "unsafe code is fenced into sys"),
    ("clap::", &["cli"], "the command line is parsed in cli"),
    ("println!", &["cli"], "only cli prints"),
    ("print!", &["cli"], "only cli prints"),
    ("eprintln!", &["cli"], "only cli prints"),
    ("eprint!", &["cli"], "only cli prints"),
    ("process::exit(", &["cli"], "exit codes are cli's"),
    ("env::var", &["cli"], "the environment is read in cli and handed down"),
    ("env::args", &["cli"], "arguments are read in cli and handed down"),
    ("env::current_dir", &["cli"], "the working directory is read in cli and handed down"),
    ("env::temp_dir", &["cli"], "temporary files lie below the data root"),
    ("fs::write", &["store", "image", "sandbox"], "files are written by the store"),
    ("fs::rename", &["store", "image"], "files are written by the store"),
    ("fs::remove_", &["store", "image"], "files are removed by the store"),
    ("fs::create_dir", &["store", "image"], "directories are made by the store"),
    ("File::create", &["store", "image"], "files are written by the store"),
];

/// Files that may contain reserved text all the same.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "engine/plan/wanted.rs",
        "fs::create_dir",
        "`-v` makes a missing source, which is the user's and not the store's",
    ),
    ("sandbox/seccomp/build.rs", "println!", "a build script, whose output is for cargo"),
    ("sandbox/seccomp/build.rs", "env::var", "a build script, whose arguments come that way"),
];

struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    fn all() -> Vec<Source> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        collect(&root, &root, &mut sources);
        assert!(sources.len() > 10, "the sources are where they are looked for");
        sources
    }

    fn layer(&self) -> Option<&str> {
        let first = self.path.components().next()?.as_os_str().to_str()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        LAYERS.iter().map(|(layer, _)| *layer).find(|layer| *layer == name)
    }

    fn is(&self, path: &str) -> bool {
        self.path == Path::new(path)
    }
}

fn collect(root: &Path, dir: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix(root).unwrap().to_owned(), text });
        }
    }
}

/// The code of `text`: comments and the content of string literals are blanked, lines are kept.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            string_length(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_string_length(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').unwrap() + 2
        } else {
            0
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of `r#"…"#`; 0 where this is something else, such as a raw identifier.
fn raw_string_length(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let Some(content) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    content.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

/// Top-level modules that `code` names through `crate::`, with the number of the line.
fn crate_paths(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` of a macro is the same crate, `xcrate::` is not a path of it.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        found.extend(heads(&code[at + "crate::".len()..]).into_iter().map(|head| (head, line)));
    }
    found
}

/// The first path elements of `model::x`, or of each item of `{model::x, store}`.
fn heads(path: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![identifier(path)] };
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().unwrap().push(c);
    }
    items.iter().map(|item| identifier(item)).filter(|head| !head.is_empty()).collect()
}

/// Breaches of the import rule in `code`, which belongs to `layer`.
fn import_breaches(layer: &str, code: &str) -> Vec<String> {
    let allowed = LAYERS.iter().find(|(name, _)| *name == layer).unwrap().1;
    let known = |head: &str| LAYERS.iter().any(|(name, _)| *name == head);
    crate_paths(code)
        .into_iter()
        .filter(|(head, _)| known(head) && head != layer && !allowed.contains(&head.as_str()))
        .map(|(head, line)| format!("line {line}: {layer} must not import {head}"))
        .collect()
}

/// Breaches of the reservations in `code`, which belongs to `layer`. What unit tests do is theirs.
fn reservation_breaches(layer: &str, code: &str) -> Vec<String> {
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap();
    let mut breaches = Vec::new();
    for (text, layers, why) in RESERVED {
        if layers.contains(&layer) {
            continue;
        }
        for (at, _) in code.match_indices(text) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || (text.chars().all(char::is_alphabetic)
                    && code[at + text.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
            {
                continue;
            }
            breaches
                .push(format!("line {}: `{text}` in {layer}: {why}", code[..at].matches('\n').count() + 1));
        }
    }
    breaches
}

fn report(breaches: &BTreeSet<String>) {
    assert!(breaches.is_empty(), "\n{}", breaches.iter().cloned().collect::<Vec<_>>().join("\n"));
}

#[test]
fn imports_go_downwards() {
    let mut breaches = BTreeSet::new();
    for source in Source::all() {
        let Some(layer) = source.layer() else { continue };
        for breach in import_breaches(layer, &code_of(&source.text)) {
            breaches.insert(format!("src/{}: {breach}", source.path.display()));
        }
    }
    report(&breaches);
}

#[test]
fn no_module_climbs_to_the_root() {
    let mut breaches = BTreeSet::new();
    for source in Source::all() {
        let code = code_of(&source.text);
        // `super` reaches the parent; siblings of the parent are named from `crate`, where the rule above sees them.
        if code.contains("super::super::") && !code.contains("mod tests") {
            breaches.insert(format!("src/{}: name it from `crate::`", source.path.display()));
        }
    }
    report(&breaches);
}

#[test]
fn each_layer_keeps_to_its_means() {
    let mut breaches = BTreeSet::new();
    for source in Source::all() {
        let Some(layer) = source.layer() else { continue };
        for breach in reservation_breaches(layer, &code_of(&source.text)) {
            let excepted = |(path, text, _): &(&str, &str, &str)| source.is(path) && breach.contains(text);
            if !EXCEPTIONS.iter().any(excepted) {
                breaches.insert(format!("src/{}: {breach}", source.path.display()));
            }
        }
    }
    report(&breaches);
}

#[test]
fn exceptions_are_for_files_that_exist() {
    let sources = Source::all();
    let paths = EXCEPTIONS.iter().map(|(path, _, _)| path);
    for path in paths {
        assert!(sources.iter().any(|source| source.is(path)), "{path} is gone: remove its exception");
    }
}

#[test]
fn breaches_are_seen() {
    let upward =
        "use crate::{error::Failure, store::{Store, layers}, model};\nfn f() { crate::cli::main(); }\n";
    assert_eq!(
        import_breaches("sandbox", upward),
        ["line 1: sandbox must not import store", "line 2: sandbox must not import cli"]
    );
    assert_eq!(import_breaches("engine", &code_of("use crate::store::Store; // crate::cli\n")), [""; 0]);
    let means = "fn f() { unsafe { g() } }\nconst S: &str = \"unsafe\"; fn unsafely() {}\n#[cfg(test)]\nmod tests { use std::env; }";
    assert_eq!(reservation_breaches("store", &code_of(means)).len(), 1);
    assert_eq!(reservation_breaches("engine", &code_of("std::fs::remove_file(p)")).len(), 1);
    assert_eq!(code_of("a \"b\\\"c\" d // e\nr#\"f\"g\"# h '\"' i").replace(' ', ""), "ad\nhi");
}
