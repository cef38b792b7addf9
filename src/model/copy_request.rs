//! The arguments of `cp`, and docker's rules for the destination.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use dhow_error::{Failure, invalid, not_found};

/// A source or destination argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyEndpoint {
    /// `CONTAINER:PATH`
    Container(String, OsString),
    Host(OsString),
    /// `-`: a tar archive on stdin or stdout.
    Stream,
}

impl CopyEndpoint {
    /// A host path that contains a colon has to start with a slash or a dot.
    pub(crate) fn parse(text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Self::Stream;
        }
        let cut = bytes.iter().position(|byte| *byte == b':');
        match cut.map(|at| (std::str::from_utf8(&bytes[..at]), &bytes[at + 1..])) {
            // Names of containers start with neither, so `./a:b` and `/a:b` are host paths.
            Some((Ok(name), path)) if !name.starts_with('/') && !name.starts_with('.') => {
                Self::Container(name.to_owned(), OsString::from_vec(path.to_vec()))
            }
            _ => Self::Host(text.to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyRequest {
    From { container: String, source: PathArg, target: HostEndpoint },
    Into { container: String, source: HostEndpoint, target: PathArg },
}

/// The side that is not a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEndpoint {
    Path(PathArg),
    /// stdin or stdout.
    Stream,
}

impl CopyRequest {
    /// Parses both arguments; host paths are relative to `cwd`. Errors are in docker's words.
    pub fn parse(source: &OsStr, target: &OsStr, cwd: &Path) -> Result<Self, Failure> {
        if source.is_empty() {
            return Err(invalid("source can not be empty"));
        }
        if target.is_empty() {
            return Err(invalid("destination can not be empty"));
        }
        let host_endpoint = |end: CopyEndpoint| match end {
            CopyEndpoint::Host(path) => HostEndpoint::Path(PathArg::new(cwd, &path)),
            _ => HostEndpoint::Stream,
        };
        let container_path = |path: &OsStr| PathArg::new(Path::new("/"), path);
        match (CopyEndpoint::parse(source), CopyEndpoint::parse(target)) {
            (CopyEndpoint::Container(..), CopyEndpoint::Container(..)) => {
                Err(invalid("copying between containers is not supported"))
            }
            (CopyEndpoint::Container(container, path), end) => {
                Ok(Self::From { container, source: container_path(&path), target: host_endpoint(end) })
            }
            (end, CopyEndpoint::Container(container, path)) => {
                Ok(Self::Into { container, source: host_endpoint(end), target: container_path(&path) })
            }
            _ => Err(invalid("must specify at least one container source")
                .hint("one end is CONTAINER:PATH, the other a path or -")),
        }
    }
}

/// An absolute path without `.` and `..`, and what its ending meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathArg {
    pub path: PathBuf,
    /// Ended in a slash, `/.` or `/..`: must be a directory, and a final symlink is followed.
    pub is_directory: bool,
    /// Ended in `/.`: the content of the directory, not the directory itself.
    pub content: bool,
}

impl PathArg {
    /// Parses `text`, which may be relative to `base`.
    pub fn new(base: &Path, text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        // A trailing `.` is lost in normalisation, so it is looked at first.
        let content = bytes == b"." || bytes.ends_with(b"/.");
        let is_directory = content || bytes.ends_with(b"/") || bytes == b".." || bytes.ends_with(b"/..");
        let mut path = PathBuf::from("/");
        for component in base.join(text).components() {
            match component {
                Component::ParentDir => {
                    path.pop();
                }
                Component::Normal(name) => path.push(name),
                _ => {}
            }
        }
        Self { path, is_directory, content }
    }

    /// The name of a copy: the last component, or `.` for the content of a directory.
    pub fn name(&self) -> Vec<u8> {
        match self.path.file_name() {
            Some(name) if !self.content => name.as_bytes().to_vec(),
            _ => b".".to_vec(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyPlacement {
    /// Inside the target, under the source's name.
    Within,
    /// As the target itself, in its parent directory.
    Renamed,
}

/// What exists at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetKind {
    Directory,
    Other,
    Nothing,
}

/// Decides by docker's rules. `is_dir`: the source is a directory; `target_is_dir`: the target path ends like a
/// directory.
pub fn decide_placement(
    is_dir: bool,
    existing: TargetKind,
    target_is_dir: bool,
) -> Result<CopyPlacement, Failure> {
    match existing {
        TargetKind::Directory => Ok(CopyPlacement::Within),
        TargetKind::Other if is_dir => {
            Err(invalid("cannot copy directory").hint("the target is not a directory"))
        }
        // A directory may be created under a name with a trailing slash, a file may not.
        TargetKind::Nothing if !is_dir && target_is_dir => {
            Err(not_found("no such directory").hint("a target that ends in a slash must exist"))
        }
        TargetKind::Other | TargetKind::Nothing => Ok(CopyPlacement::Renamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(text: &str) -> PathArg {
        PathArg::new(Path::new("/home/me"), OsStr::new(text))
    }

    #[test]
    fn ends_are_told_apart() {
        let end = |text: &str| CopyEndpoint::parse(OsStr::new(text));
        assert_eq!(end("web:/etc"), CopyEndpoint::Container("web".into(), "/etc".into()));
        assert_eq!(end("web:"), CopyEndpoint::Container("web".into(), "".into()));
        assert_eq!(end("web:a:b"), CopyEndpoint::Container("web".into(), "a:b".into()));
        for host in ["/a:b", "./a:b", "../a:b", "plain", ".:x"] {
            assert_eq!(end(host), CopyEndpoint::Host(host.into()));
        }
        assert_eq!(end("-"), CopyEndpoint::Stream);
    }

    #[test]
    fn one_end_is_a_container() {
        let parse = |source: &str, target: &str| {
            CopyRequest::parse(source.as_ref(), target.as_ref(), Path::new("/w"))
        };
        let why = |source: &str, target: &str| parse(source, target).unwrap_err().to_string();
        assert_eq!(why("a", "b"), "must specify at least one container source");
        assert_eq!(why("-", "-"), "must specify at least one container source");
        assert_eq!(why("aa:x", "bb:y"), "copying between containers is not supported");
        assert_eq!(why("", "bb:y"), "source can not be empty");
        assert_eq!(why("aa:x", ""), "destination can not be empty");
        let CopyRequest::Into { source: HostEndpoint::Path(source), target, .. } =
            parse("x/../y", "cc:tmp/").unwrap()
        else {
            panic!()
        };
        assert_eq!((source.path.as_path(), target.path.as_path()), (Path::new("/w/y"), Path::new("/tmp")));
        assert!(target.is_directory && !source.is_directory);
    }

    #[test]
    fn the_end_of_a_path_says_what_is_meant() {
        assert_eq!((arg("a/b/").name(), arg("a/b/").is_directory), (b"b".to_vec(), true));
        assert_eq!((arg("a/b/.").name(), arg("a/b/.").content), (b".".to_vec(), true));
        assert_eq!((arg("a/..").path, arg("..").path), (PathBuf::from("/home/me"), PathBuf::from("/home")));
        assert_eq!(arg(".").name(), b".");
        assert_eq!(arg("/").name(), b".");
        assert_eq!(arg("../../../x").path, PathBuf::from("/x"));
    }

    #[test]
    fn dockers_rules() {
        use CopyPlacement::{Renamed, Within};
        use TargetKind::{Directory, Nothing, Other};
        for is_dir in [true, false] {
            assert_eq!(decide_placement(is_dir, Directory, false).unwrap(), Within);
        }
        assert_eq!(decide_placement(false, Other, false).unwrap(), Renamed);
        assert_eq!(decide_placement(true, Other, false).unwrap_err().to_string(), "cannot copy directory");
        assert_eq!(decide_placement(true, Nothing, true).unwrap(), Renamed);
        assert_eq!(decide_placement(false, Nothing, false).unwrap(), Renamed);
        assert_eq!(decide_placement(false, Nothing, true).unwrap_err().to_string(), "no such directory");
    }
}
