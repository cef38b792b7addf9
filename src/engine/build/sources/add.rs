//! What ADD takes from elsewhere: files of the web and git repositories, identified first, for the cache, and brought and
//! copied only where that does not help.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::Mode;

use super::git::{self, GitOptions, GitUrl};
use super::tar::Unpacker;
use super::url::{Download, Downloader, Known};
use crate::build::context::{CopySpec, NoUnpack, Source, StatCache, Target, Unpack, copy};
use crate::build::ignore::Ignore;
use crate::error::invalid;
use crate::model::digest::Digest;
use crate::model::environment::Environment;

/// Whether a source of ADD is an address and no path of the context.
pub fn is_remote(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://") || git::parse(source).is_some()
}

/// The remote sources of one ADD.
pub struct Remotes<'a> {
    environment: &'a Environment,
    /// Where they are brought to.
    temp: &'a Path,
    checksum: Option<&'a str>,
    keep_git_dir: bool,
    items: Vec<Item>,
    learned: Vec<Known>,
}

enum Item {
    /// With what the file is to hash to, and the file itself once it is here.
    Url { address: String, checksum: Option<Digest>, here: Option<Known> },
    /// With the commit.
    Git { url: Box<GitUrl>, commit: String },
}

impl<'a> Remotes<'a> {
    /// `temp` is an empty directory that lasts as long as this. `checksum` is a digest or a commit.
    pub fn new(
        environment: &'a Environment,
        temp: &'a Path,
        checksum: Option<&'a str>,
        keep_git_dir: bool,
    ) -> Self {
        Self { environment, temp, checksum, keep_git_dir, items: Vec::new(), learned: Vec::new() }
    }

    /// Finds out what is at `addresses` now: a text for each that changes whenever the files do. A file of the web is
    /// fetched if neither its checksum nor what is `known` of an earlier fetch tells.
    pub fn identify(
        &mut self,
        addresses: &[String],
        known: &dyn Fn(&str) -> Option<Known>,
    ) -> Result<Vec<String>> {
        addresses.iter().map(|address| self.identify_one(address, known)).collect()
    }

    fn identify_one(&mut self, address: &str, known: &dyn Fn(&str) -> Option<Known>) -> Result<String> {
        if let Some(url) = git::parse(address) {
            let url = url?;
            let commit = git::resolve(&url, &self.git_options())?;
            let keep = url.keep_git_dir.unwrap_or(self.keep_git_dir);
            let text = format!("git {commit} {keep} {} {}", url.submodules, url.subdir);
            self.items.push(Item::Git { url: Box::new(url), commit });
            return Ok(text);
        }
        let checksum = self.checksum.map(str::parse::<Digest>).transpose().map_err(|_| {
            invalid(format!(
                "invalid checksum \"{}\": expected sha256: and 64 hexadecimal digits",
                self.checksum.unwrap_or_default().escape_debug()
            ))
        })?;
        if let Some(checksum) = checksum {
            let text = format!("url {checksum} {address}");
            self.items.push(Item::Url { address: address.to_owned(), checksum: Some(checksum), here: None });
            return Ok(text);
        }
        let before = known(address).filter(|known| known.url == address && known.etag.is_some());
        let dir = self.dir(self.items.len())?;
        let found = Downloader::new(self.environment)?.fetch(address, None, before.as_ref(), &dir)?;
        let (known, here) = match (found, before) {
            (Download::Fetched(known), _) => {
                self.learned.push(known.clone());
                (known.clone(), Some(known))
            }
            (Download::Unchanged, Some(known)) => (known, None),
            (Download::Unchanged, None) => {
                anyhow::bail!("the server says that nothing changed, but not of what")
            }
        };
        let text = format!("url {} {:?} {address}", known.digest, known.modified);
        self.items.push(Item::Url { address: address.to_owned(), checksum: Some(known.digest), here });
        Ok(text)
    }

    /// Brings what is not here yet, and copies everything as `spec` says, whose sources do not count. With `unpack`
    /// archives among the files are unpacked.
    pub fn copy(&mut self, spec: &CopySpec, unpack: bool, target: &mut Target) -> Result<()> {
        for index in 0..self.items.len() {
            let (dir, source) = self.bring(index)?;
            let spec = CopySpec {
                sources: vec![source],
                here_docs: Vec::new(),
                unpack,
                parents: false,
                ..spec.clone()
            };
            let files = Source::directory(&dir, Ignore::none())?;
            let unpacker: &mut dyn Unpack = if unpack { &mut Unpacker } else { &mut NoUnpack };
            copy(&files, &spec, target, &mut StatCache::default(), unpacker)?;
        }
        Ok(())
    }

    /// What there is to know of the files that were fetched, for the next time.
    pub fn learned(&self) -> &[Known] {
        &self.learned
    }

    /// The directory that an item lies in, and what of it is to be copied.
    fn bring(&mut self, index: usize) -> Result<(PathBuf, String)> {
        let dir = self.dir(index)?;
        let options = self.git_options();
        match self.items.get(index) {
            Some(Item::Git { url, commit }) => Ok((git::checkout(url, commit, &dir, &options)?, "/".into())),
            Some(Item::Url { here: Some(known), .. }) => Ok((dir, literal(&known.name))),
            Some(Item::Url { address, checksum, here: None }) => {
                let downloader = Downloader::new(self.environment)?;
                match downloader.fetch(address, checksum.as_ref(), None, &dir)? {
                    Download::Fetched(known) => {
                        let name = literal(&known.name);
                        self.learned.push(known);
                        Ok((dir, name))
                    }
                    Download::Unchanged => anyhow::bail!("the server sent nothing"),
                }
            }
            None => anyhow::bail!("a source is not known"),
        }
    }

    fn git_options(&self) -> GitOptions {
        GitOptions {
            keep_git_dir: self.keep_git_dir,
            checksum: self.checksum.map(str::to_owned),
            ..GitOptions::new(self.environment)
        }
    }

    fn dir(&self, index: usize) -> Result<PathBuf> {
        let dir = self.temp.join(index.to_string());
        match rustix::fs::mkdir(&dir, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(dir),
            Err(error) => Err(error).context("cannot make a directory for what is fetched"),
        }
    }
}

/// A name as a pattern that matches it alone.
fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::build::sources::url::tests::{answer, serve};
    use crate::model::layer::Identity;

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for dir in ["temp", "made", "lower"] {
                std::fs::create_dir(world.0.path().join(dir)).unwrap();
            }
            world
        }

        fn target(&self) -> Target {
            let lower = [self.0.path().join("lower")];
            Target::open(&self.0.path().join("made"), &lower, Identity::Single, None).unwrap()
        }
    }

    fn spec(to: &str) -> CopySpec {
        CopySpec { target: to.into(), ..CopySpec::default() }
    }

    #[test]
    fn a_file_is_fetched_once_and_again_only_where_it_is_needed() {
        let head = "200 OK\r\nETag: \"1\"";
        let (address, server) =
            serve(vec![answer(head, "text"), answer("304 Not Modified", ""), answer(head, "text")]);
        let address = [format!("{address}/[x].txt")];
        let environment = Environment::default();
        let world = World::new();
        let temp = world.0.path().join("temp");
        let mut first = Remotes::new(&environment, &temp, None, false);
        let identity = first.identify(&address, &|_| None).unwrap();
        let mut target = world.target();
        first.copy(&spec("/to/"), false, &mut target).unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read_to_string(world.0.path().join("made/to/[x].txt")).unwrap(), "text");
        let known = first.learned()[0].clone();
        let again = World::new();
        let temp = again.0.path().join("temp");
        let mut second = Remotes::new(&environment, &temp, None, false);
        assert_eq!(second.identify(&address, &|_| Some(known.clone())).unwrap(), identity);
        let mut target = again.target();
        second.copy(&spec("/named"), false, &mut target).unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read_to_string(again.0.path().join("made/named")).unwrap(), "text");
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[test]
    fn with_a_checksum_nothing_is_asked_before_it_is_needed() {
        let environment = Environment::default();
        let world = World::new();
        let temp = world.0.path().join("temp");
        let sum = Digest::of(b"x").to_string();
        let mut remotes = Remotes::new(&environment, &temp, Some(&sum), false);
        let found = remotes.identify(&["http://127.0.0.1:1/x".into()], &|_| None).unwrap();
        assert!(found[0].contains(&sum));
        let mut wrong = Remotes::new(&environment, &temp, Some("md5:x"), false);
        assert!(wrong.identify(&["http://127.0.0.1:1/x".into()], &|_| None).is_err());
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for remote in ["http://h/x", "https://h/x.git", "git@h:x.git", "ssh://h/x"] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in ["http", "dir/x", "./git@h:x", "http:/x"] {
            assert!(!is_remote(local), "{local}");
        }
    }
}
