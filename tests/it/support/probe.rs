//! The probe (`tests/probe`): compiled once, images that contain it, and its output.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use super::image::hex;
use super::process::must_run;
use super::{Cmd, Entry, Image, Layer, fixtures};

/// The probe as a static program that every account can run.
pub(crate) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(compile).clone()
}

fn compile() -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&sources).expect("tests/probe").map(|entry| entry.expect("a source").path()).collect();
    files.sort();
    let text: Vec<u8> = files.iter().flat_map(|file| fs::read(file).expect("a source")).collect();
    fixtures::cached(&format!("probe-{}", hex(&super::image::digest(&text))), 0o755, |draft| {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--edition=2024",
            "--crate-name=probe",
            "-Dwarnings",
            "-O",
            "-Cpanic=abort",
            "-Cstrip=symbols",
        ]);
        rustc.args(["-Ctarget-feature=+crt-static", "--target", &target, "-o"]).arg(draft);
        must_run(rustc.arg(sources.join("probe.rs")));
    })
}

/// An image that holds the probe as `/probe` and nothing else.
pub(crate) fn image() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(|| Image::new([layer()]));
    &IMAGE
}

/// The same on top of busybox.
pub(crate) fn with_busybox() -> &'static Image {
    static IMAGE: LazyLock<Image> = LazyLock::new(|| Image::new([fixtures::busybox_layer(), layer()]));
    &IMAGE
}

/// The layer of [`image`], to build other images on.
pub(crate) fn layer() -> Layer {
    Layer::new([Entry::file("probe", fs::read(binary()).expect("the probe")).mode(0o755)])
}

/// The probe's output.
#[derive(Debug)]
pub(crate) struct Facts(BTreeMap<String, Vec<String>>);

impl Facts {
    /// Runs `command`, which runs the probe, and parses its output.
    pub(crate) fn of(command: Cmd) -> Self {
        Self::parse(&command.ok().out())
    }

    /// Parses output.
    pub(crate) fn parse(text: &str) -> Self {
        let mut facts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no fact: {line:?}"));
            facts.entry(key.to_owned()).or_default().push(unescape(value));
        }
        Self(facts)
    }

    /// The only value of `key`.
    pub(crate) fn get(&self, key: &str) -> &str {
        let [value] = self.all(key) else { panic!("{key} is not one fact: {self:?}") };
        value
    }

    /// All values of `key`, in order.
    pub(crate) fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of `key` that begins with the word `first`, without that word.
    pub(crate) fn about(&self, key: &str, first: &str) -> Option<&str> {
        self.all(key).iter().find_map(|value| value.strip_prefix(first)?.strip_prefix(' '))
    }
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next() == Some('n') => out.push('\n'),
            '\\' => out.push('\\'),
            other => out.push(other),
        }
    }
    out
}
