//! The man pages and completion scripts in the repository match the command definitions.
//! `DHOW_BLESS=1 cargo test --test it meta::generated` writes them again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// Relative path and content of each generated file.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn completions() -> Files {
    let named = [(Shell::Bash, "dhow.bash"), (Shell::Zsh, "_dhow"), (Shell::Fish, "dhow.fish")];
    let script = |(shell, name): (Shell, &str)| {
        let mut content = Vec::new();
        clap_complete::generate(shell, &mut crate::library::cli::command_tree(), "dhow", &mut content);
        (Path::new("completions").join(name), content)
    };
    named.into_iter().map(script).collect()
}

fn man_pages() -> Files {
    let mut files = Files::new();
    add_pages(&mut files, &crate::library::cli::command_tree(), "dhow");
    files
}

/// The man pages of the command `words` and of its subcommands.
fn add_pages(files: &mut Files, command: &Command, words: &str) {
    for below in command.get_subcommands() {
        add_pages(files, below, &format!("{words} {}", below.get_name()));
    }
    let name = words.replace(' ', "-");
    let command = command.clone().display_name(&name).bin_name(words).version(env!("CARGO_PKG_VERSION"));
    let mut page = Vec::new();
    clap_mangen::Man::new(command).title(&name).render(&mut page).unwrap();
    files.insert(Path::new("man").join(format!("{name}.1")), page);
}

fn committed(folder: &str) -> Files {
    let entries = fs::read_dir(root().join(folder)).map(|entries| entries.map(|e| e.unwrap().file_name()));
    let names = entries.into_iter().flatten();
    let read = |name| {
        let path = Path::new(folder).join(name);
        let content = fs::read(root().join(&path)).unwrap();
        (path, content)
    };
    names.map(read).collect()
}

fn bless(folder: &str, expected: &Files) {
    let _ = fs::remove_dir_all(root().join(folder));
    fs::create_dir_all(root().join(folder)).unwrap();
    for (path, content) in expected {
        fs::write(root().join(path), content).unwrap();
    }
}

fn check(folder: &str, expected: &Files) {
    if std::env::var_os("DHOW_BLESS").is_some() {
        return bless(folder, expected);
    }
    let found = committed(folder);
    let paths = expected.keys().chain(found.keys());
    let stale: Vec<_> = paths.filter(|path| expected.get(*path) != found.get(*path)).collect();
    assert!(stale.is_empty(), "stale: {stale:?}\nwrite them anew: DHOW_BLESS=1 cargo test --test generated");
}

#[test]
fn definitions_are_sound() {
    crate::library::cli::command_tree().debug_assert();
}

#[test]
fn completion_scripts_are_fresh() {
    check("completions", &completions());
}

#[test]
fn man_pages_are_fresh() {
    let pages = man_pages();
    assert!(pages.contains_key(Path::new("man/dhow-run.1")));
    check("man", &pages);
}
