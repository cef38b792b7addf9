//! What the compiler does not check about source files.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a file of `src` may have.
const LONGEST: usize = 500;

/// The files that may be longer, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("sandbox/seccomp/syscalls.rs", "a table with a line for each system call"),
    ("sandbox/seccomp/tests.rs", "an interpreter of filters, next to the tests that need it"),
];

/// All Rust files below `folder` of the repository, relative to it.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    fn collect(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(root.join(dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&absolute(folder), Path::new(""), &mut found);
    assert!(!found.is_empty(), "no Rust files in {folder}");
    found.sort();
    found
}

fn absolute(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_file_says_what_it_owns_and_stays_short() {
    let mut breaches = Vec::new();
    for (folder, limit) in [("src", LONGEST), ("tests/it", usize::MAX)] {
        for path in rust_files(folder) {
            let text = fs::read_to_string(absolute(folder).join(&path)).unwrap();
            if !text.starts_with("//! ") {
                breaches.push(format!("{folder}/{}: does not start with `//!`", path.display()));
            }
            let lines = text.lines().count();
            let excepted = EXCEPTIONS.iter().any(|(exception, _)| path == Path::new(exception));
            if lines > limit && !excepted {
                breaches.push(format!("{folder}/{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn exceptions_to_the_length_are_for_files_that_exist() {
    for (path, _) in EXCEPTIONS {
        assert!(absolute("src").join(path).exists(), "{path} is gone: remove its exception");
    }
}

/// A file that no `mod` names is not compiled: its tests would never run, and nothing would tell.
#[test]
fn every_test_file_is_reached_by_a_mod() {
    let mut forgotten = Vec::new();
    for path in rust_files("tests/it") {
        if path == Path::new("main.rs") {
            continue;
        }
        // `a/b.rs` and `a/b/mod.rs` are both the module `b` of `a`.
        let module = if path.ends_with("mod.rs") { path.parent().unwrap() } else { &path };
        let folder = module.parent().unwrap();
        let owner = if folder == Path::new("") { PathBuf::from("main.rs") } else { folder.join("mod.rs") };
        let text = fs::read_to_string(absolute("tests/it").join(&owner)).unwrap_or_default();
        let name = module.file_stem().unwrap().to_str().unwrap();
        let declared = [format!("mod {name};"), format!("pub(crate) mod {name};")];
        if !text.lines().any(|line| declared.iter().any(|one| line == one)) {
            forgotten.push(format!("tests/it/{} has no `mod {name};`", owner.display()));
        }
    }
    assert!(forgotten.is_empty(), "{}", forgotten.join("\n"));
}
