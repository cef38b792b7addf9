//! buildah, to compare with, and the content of an image in a registry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{AUTHORITIES, Dhow, LIMIT};
use crate::support::process::{Running, must_run};

/// buildah with a store of its own. Commands of its builds run in a chroot: containers would need a cgroup, which not
/// every machine has.
pub(crate) struct Buildah {
    store: PathBuf,
}

impl Buildah {
    pub(crate) fn new(dhow: &Dhow) -> Self {
        let store = dhow.dir().join("buildah");
        fs::create_dir_all(&store).unwrap();
        Self { store }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.store.join("root")).arg("--runroot").arg(self.store.join("run"));
        command.args(["--storage-driver", "overlay"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Builds `context` and pushes the result.
    pub(crate) fn build(&self, context: &Path, argument: &str, tag: &str) {
        let secret = format!("id=ca,src={AUTHORITIES}");
        let context = context.to_str().unwrap();
        let words = ["bud", "-q", "--isolation", "chroot", "--tls-verify=false", "--format", "oci"];
        let more = ["--build-arg", argument, "--secret", &secret, "-t", tag, context];
        let output = Running::start(self.command(&[&words[..], &more].concat()), None, LIMIT).wait();
        assert_eq!(output.code, 0, "{}{}", output.out(), output.err());
        must_run(&mut self.command(&["push", "-q", "--tls-verify=false", tag]));
    }

    /// Pulls an image and runs a command in it.
    pub(crate) fn run(&self, name: &str, command: &[&str]) -> String {
        let container = must_run(&mut self.command(&["from", "-q", "--tls-verify=false", name])).out();
        let words = [&["run", "--isolation", "chroot", &container, "--"], command].concat();
        let output = Running::start(self.command(&words), None, Duration::from_secs(100)).wait();
        assert_eq!(output.code, 0, "{}{}", output.out(), output.err());
        must_run(&mut self.command(&["rm", &container]));
        output.out()
    }
}

impl Drop for Buildah {
    fn drop(&mut self) {
        // Its mounts would keep the test's directory.
        let _ = self.command(&["rm", "-a"]).output();
        let _ = self.command(&["rmi", "-a", "-f"]).output();
        let _ = Command::new("umount").arg(self.store.join("root/overlay")).output();
        let _ = fs::remove_dir_all(&self.store);
    }
}

/// Kind, mode, owner and link target of a file, and its content if it belongs to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    kind: char,
    mode: u32,
    owner: (u64, u64),
    link: String,
    size: Option<u64>,
}

/// The merged files and the configuration of an image in a registry.
pub(crate) struct Content {
    files: BTreeMap<String, Node>,
    config: Value,
}

/// Paths that differ between two runs of the same programs.
const VOLATILE: &[&str] = &[
    "var/log",
    "var/cache/ldconfig",
    "var/cache/debconf",
    "var/lib/dpkg",
    "var/lib/apt/extended_states",
    "etc/ld.so.cache",
    "var/lib/systemd",
    "etc/machine-id",
    "tmp",
    "run",
    "dev",
    "proc",
    "sys",
    "etc/hosts",
    "etc/resolv.conf",
    "etc/hostname",
];

impl Content {
    /// Reads `name` from its registry with skopeo.
    pub(crate) fn of(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("dhow-content-").tempdir_in("/var/tmp").unwrap();
        let layout = dir.path().join("image");
        let mut command = Command::new("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"]);
        must_run(command.arg(format!("docker://{name}")).arg(format!("dir:{}", layout.display())));
        let read =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(layout.join(name)).unwrap()).unwrap() };
        let manifest = read("manifest.json");
        let blob = |descriptor: &Value| {
            descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned()
        };
        let mut files = BTreeMap::new();
        for layer in manifest["layers"].as_array().unwrap() {
            let file = File::open(layout.join(blob(layer))).unwrap();
            let media_type = layer["mediaType"].as_str().unwrap();
            let reader: Box<dyn Read> = if media_type.ends_with("zstd") {
                Box::new(zstd::Decoder::new(file).unwrap())
            } else if media_type.ends_with("gzip") {
                Box::new(flate2::read::MultiGzDecoder::new(file))
            } else {
                Box::new(file)
            };
            apply(&mut files, reader);
        }
        Self { files, config: read(&blob(&manifest["config"]))["config"].clone() }
    }

    /// Asserts that there is no difference, except below the paths `unlike`.
    pub(crate) fn assert_like(&self, other: &Self, unlike: &[&str]) {
        let aside = |path: &str| {
            VOLATILE.iter().chain(unlike).any(|dir| {
                path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let names = self.files.keys().chain(other.files.keys()).filter(|path| !aside(path));
        let mut differences: Vec<String> = names
            .filter(|path| self.files.get(*path) != other.files.get(*path))
            .map(|path| format!("{path}: {:?}, theirs {:?}", self.files.get(path), other.files.get(path)))
            .collect();
        differences.sort_unstable();
        differences.dedup();
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
        for key in ["Env", "Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "StopSignal", "Volumes"]
        {
            assert_eq!(normal(&self.config[key], key), normal(&other.config[key], key), "{key}");
        }
        let labels = |config: &Value| {
            let mut labels = config["Labels"].as_object().cloned().unwrap_or_default();
            labels.remove("io.buildah.version");
            labels
        };
        assert_eq!(labels(&self.config), labels(&other.config));
    }
}

/// Makes empty values absent, and the working directory `/`, which is the default.
fn normal(value: &Value, key: &str) -> Value {
    match value {
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Object(map) if map.is_empty() => Value::Null,
        Value::String(text) if text.is_empty() || (key == "WorkingDir" && text == "/") => Value::Null,
        other => other.clone(),
    }
}

/// Applies a layer.
fn apply(files: &mut BTreeMap<String, Node>, layer: impl Read) {
    let mut archive = tar::Archive::new(layer);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let name = name.trim_start_matches("./").trim_matches('/').to_owned();
        let (dir, last) = name.rsplit_once('/').map_or(("", name.as_str()), |(dir, last)| (dir, last));
        let below = |dir: &str, files: &mut BTreeMap<String, Node>| {
            let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
            files.retain(|path, _| !path.starts_with(&prefix));
        };
        if last == ".wh..wh..opq" {
            below(dir, files);
            continue;
        }
        if let Some(gone) = last.strip_prefix(".wh.") {
            let path = if dir.is_empty() { gone.to_owned() } else { format!("{dir}/{gone}") };
            below(&path, files);
            files.remove(&path);
            continue;
        }
        if name.is_empty() {
            continue;
        }
        let header = entry.header();
        let kind = header.entry_type();
        let link = entry
            .link_name_bytes()
            .map(|link| String::from_utf8(link.into_owned()).unwrap())
            .unwrap_or_default();
        if kind.is_hard_link() {
            let target = files.get(link.trim_start_matches("./").trim_matches('/')).cloned();
            files.insert(name, target.expect("what a hard link leads to"));
            continue;
        }
        let node = Node {
            kind: if kind.is_dir() {
                'd'
            } else if kind.is_symlink() {
                'l'
            } else if kind.is_file() {
                'f'
            } else {
                'o'
            },
            mode: if kind.is_symlink() { 0 } else { header.mode().unwrap() & 0o7777 },
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            size: kind.is_file().then(|| entry.size()),
            link,
        };
        if node.kind != 'd' && files.get(&name).is_some_and(|before| before.kind == 'd') {
            let prefix = format!("{name}/");
            files.retain(|path, _| !path.starts_with(&prefix));
        }
        files.insert(name, node);
    }
}
