//! Packs a file tree as a tar stream, ordered by name.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::fs::Dir;

use super::inspect::{DhowXattrs, FileInfo, inspect, inspect_dir, read_content};
use crate::tar::TarMember;
use crate::tar::write::{END_OF_ARCHIVE, member_header, padding, stored_length};

/// Each level holds a descriptor.
const MAX_DEPTH: usize = 400;

pub struct TreePacker<'a> {
    out: &'a mut dyn Write,
    dhow_xattrs: DhowXattrs,
    /// The first name of a file with several hard links, by device and inode number.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Directories, by device and inode number, packed without their contents unless requested themselves.
    excluded: Vec<(u64, u64)>,
    bytes: u64,
}

impl<'a> TreePacker<'a> {
    pub fn new(out: &'a mut dyn Write, dhow_xattrs: DhowXattrs) -> Self {
        Self { out, dhow_xattrs, links: HashMap::new(), excluded: Vec::new(), bytes: 0 }
    }

    /// Excludes the contents of the directory with this device and inode number, unless it is the requested
    /// root.
    pub fn exclude_contents(&mut self, device: u64, inode: u64) {
        self.excluded.push((device, inode));
    }

    /// Packs `name` in `dir`, recursively if it is a directory, as `path`. Returns `false` if it is gone, or
    /// a socket.
    pub fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<bool> {
        self.entry_at(dir, name, path, 0)
    }

    /// Packs the open directory `dir` recursively as `path`.
    pub fn directory(&mut self, dir: OwnedFd, path: &[u8]) -> Result<()> {
        let info = inspect_dir(dir, self.dhow_xattrs)?;
        self.pack_info(info, path, 0)
    }

    /// Packs the contents of the open directory `dir`, without the directory itself.
    pub fn contents(&mut self, dir: &OwnedFd) -> Result<()> {
        self.dir_contents(dir, b"", 0)
    }

    /// Writes the end of the archive. Returns its size, counting one header block for each member.
    pub fn finish(self) -> Result<u64> {
        self.out.write_all(&END_OF_ARCHIVE)?;
        self.out.flush()?;
        Ok(self.bytes + END_OF_ARCHIVE.len() as u64)
    }

    fn write_header(&mut self, member: &TarMember) -> Result<()> {
        self.bytes += stored_length(member);
        Ok(self.out.write_all(&member_header(member))?)
    }

    fn entry_at(&mut self, dir: BorrowedFd<'_>, name: &CStr, path: &[u8], depth: usize) -> Result<bool> {
        let doing = || format!("cannot pack `{}`", String::from_utf8_lossy(path).escape_debug());
        match inspect(dir, name, self.dhow_xattrs).with_context(doing)? {
            Some(info) => self.pack_info(info, path, depth).map(|()| true),
            None => Ok(false),
        }
    }

    fn pack_info(&mut self, info: FileInfo, path: &[u8], depth: usize) -> Result<()> {
        let doing = || format!("cannot pack `{}`", String::from_utf8_lossy(path).escape_debug());
        let mut member = TarMember { path: path.to_vec(), ..info.member };
        if let Some(dir) = &info.dir {
            member.path.push(b'/');
            self.write_header(&member)?;
            return match depth > 0 && self.is_excluded(dir)? {
                true => Ok(()),
                false => self.dir_contents(dir, path, depth),
            };
        }
        // A later name of a file is a hard link member without content.
        if let Some(first) = info.linked.and_then(|linked| self.links.get(&linked)) {
            return self.write_header(&member.into_hard_link(first));
        }
        self.links.extend(info.linked.map(|linked| (linked, path.to_vec())));
        self.write_header(&member)?;
        if let Some(content) = &info.content {
            read_content(content, &member, |_, part| Ok(self.out.write_all(part)?)).with_context(doing)?;
            self.out.write_all(padding(member.size))?;
        }
        Ok(())
    }

    fn is_excluded(&self, dir: &OwnedFd) -> Result<bool> {
        if self.excluded.is_empty() {
            return Ok(false);
        }
        let stat = rustix::fs::fstat(dir)?;
        Ok(self.excluded.contains(&(stat.st_dev, stat.st_ino)))
    }

    fn dir_contents(&mut self, dir: &OwnedFd, path: &[u8], depth: usize) -> Result<()> {
        anyhow::ensure!(depth < MAX_DEPTH, "directories are nested more than {MAX_DEPTH} deep");
        for name in names(dir)? {
            let child_path = if path.is_empty() {
                name.to_bytes().to_vec()
            } else {
                [path, b"/", name.to_bytes()].concat()
            };
            self.entry_at(dir.as_fd(), &name, &child_path, depth + 1)?;
        }
        Ok(())
    }
}

/// The names in a directory, sorted.
fn names(dir: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn packed(dir: &Path) -> Vec<u8> {
        let mut out = Vec::new();
        let mut packer = TreePacker::new(&mut out, DhowXattrs::Ignore);
        let dir = fs::File::open(dir).unwrap();
        packer.contents(&OwnedFd::from(dir)).unwrap();
        packer.finish().unwrap();
        out
    }

    #[test]
    fn another_reader_understands_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "abc").unwrap();
        fs::hard_link(at("sub/file"), at("zz")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        let sparse = fs::File::create(at("sparse")).unwrap();
        sparse.set_len(10 << 20).unwrap();
        let bytes = packed(dir.path());
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        let other = tempfile::tempdir().unwrap();
        let mut tar = std::process::Command::new("tar")
            .args(["-x", "-C"])
            .arg(other.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&bytes).unwrap();
        assert!(tar.wait().unwrap().success());
        assert_eq!(fs::read(other.path().join("zz")).unwrap(), b"abc");
        assert_eq!(fs::read_link(other.path().join("link")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::metadata(other.path().join("sparse")).unwrap().len(), 10 << 20);
        // The times of the two directories differ, so compare names and contents.
        let names = |dir: &Path| {
            let bytes = packed(dir);
            let mut archive = ::tar::Archive::new(&bytes[..]);
            let name =
                |entry: std::io::Result<::tar::Entry<'_, &[u8]>>| entry.unwrap().path_bytes().into_owned();
            archive.entries().unwrap().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(dir.path()), names(other.path()));
    }
}
