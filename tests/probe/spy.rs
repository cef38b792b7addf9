//! Lies in wait for processes that come into the container, and tries to get at what they hold.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::fact;

/// Looks at every other process, over and over, until the file `until` exists. What it got hold of are the facts: each
/// `kind value` once, and how many processes came.
pub fn spy(until: &str) {
    let own = std::process::id();
    let mut seen = BTreeSet::new();
    let mut got = BTreeSet::new();
    println!("spying");
    while !Path::new(until).exists() {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if pid != own && pid != 1 {
                seen.insert(pid);
                look(&entry.path(), &mut got);
            }
        }
    }
    fact("seen", seen.len());
    got.iter().for_each(|line| fact("got", line));
}

fn look(process: &Path, got: &mut BTreeSet<String>) {
    let mut note = |kind: &str, value: String| got.insert(format!("{kind} {value}"));
    for kind in ["exe", "cwd", "root"] {
        if let Ok(target) = fs::read_link(process.join(kind)) {
            note(kind, target.display().to_string());
        }
    }
    // The link's text and its target are guarded alike; the target is what an attacker wants.
    if let (Ok(_), Ok(target)) = (File::open(process.join("exe")), fs::read_link(process.join("exe"))) {
        note("opened", target.display().to_string());
    }
    for entry in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            let text = target.display().to_string();
            note("fd", text.split(':').next().unwrap_or_default().to_owned());
        }
    }
    for kind in ["cmdline", "environ"] {
        let mut text = Vec::new();
        if File::open(process.join(kind)).is_ok_and(|mut file| file.read_to_end(&mut text).is_ok()) {
            note(kind, String::from_utf8_lossy(&text).replace('\0', " ").trim_end().to_owned());
        }
    }
}
