//! What a COPY selects: its patterns resolved in the source, without ignored and excluded files, directories
//! with all they contain. File contents are not read here.

use std::ffi::CString;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::attributes::{FileAttributes, FileTime, effective_owner, mtime, read_xattrs};
use super::not_found;
use super::tree_view::{ResolvedPath, ViewDir, ViewEntry, components, display_path, join, split};
use super::{CopySpec, SourceTree};
use crate::path_pattern::{MatchInfo, PathPattern, PatternMatcher, has_wildcard};
use dhow_error::invalid;

/// Deeper nesting is refused: each level holds open descriptors.
const MAX_DEPTH: usize = 400;

/// The type of a selected file.
#[derive(Debug)]
pub(super) enum NodeKind {
    /// With the selected children, sorted by name.
    Dir(Vec<SelectedNode>),
    /// An index into [`CopySelection::files`].
    File(usize),
    Symlink(Vec<u8>),
    Fifo,
    /// Whether it is a block device, major, minor.
    Device(bool, u32, u32),
}

#[derive(Debug)]
pub(super) struct SelectedNode {
    pub(super) name: Vec<u8>,
    pub(super) kind: NodeKind,
    pub(super) attributes: FileAttributes,
}

/// A regular file as it was when selected.
#[derive(Debug)]
pub(super) struct FileRef {
    /// Without symlinks, relative to the source's root.
    pub(super) path: Vec<u8>,
    pub(super) layer: u16,
    pub(super) identity: FileIdentity,
    /// It has more than one name.
    pub(super) hard_linked: bool,
    /// Of content and xattrs, once known.
    pub(super) digest: Option<[u8; 32]>,
}

/// Identifies a version of a file: a change of its content changes the times, within the clock's resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileIdentity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mtime: FileTime,
    pub(super) ctime: FileTime,
}

impl FileIdentity {
    pub(super) fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mtime: mtime(stat),
            ctime: (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or_default()),
        }
    }
}

/// A match of one source pattern.
#[derive(Debug)]
pub(super) struct SourceMatch {
    /// The directories that `--parents` creates above it, outermost first.
    pub(super) parents: Vec<(Vec<u8>, FileAttributes)>,
    /// Named as in the source.
    pub(super) node: SelectedNode,
}

/// Everything that is selected: sources in order, the matches of each sorted by name.
#[derive(Debug, Default)]
pub(super) struct CopySelection {
    pub(super) matches: Vec<SourceMatch>,
    pub(super) files: Vec<FileRef>,
}

/// Resolves the sources of `spec` in `source`.
pub(super) fn select(source: &SourceTree, spec: &CopySpec) -> Result<CopySelection> {
    let exclude = PatternMatcher::new(&spec.flags.exclude).map_err(|bad| {
        invalid(format!("invalid excludepatterns: \"{}\": syntax error in pattern", bad.escape_debug()))
    })?;
    let mut selector = SourceSelector { source, spec, exclude, selection: CopySelection::default() };
    for written in &spec.sources {
        selector.source(written)?;
    }
    Ok(selector.selection)
}

struct SourceSelector<'a> {
    source: &'a SourceTree,
    spec: &'a CopySpec,
    exclude: PatternMatcher,
    selection: CopySelection,
}

/// The directory being walked.
#[derive(Clone, Default)]
struct WalkState {
    /// Relative to the source's root.
    path: Vec<u8>,
    ignored: MatchInfo,
    /// The path that `--exclude` patterns match.
    relative: Vec<u8>,
    excluded: MatchInfo,
}

impl SourceSelector<'_> {
    fn source(&mut self, written: &str) -> Result<()> {
        // `--parents`: directories before `/./` are not created.
        let (base, rest) = match written.find("/./").filter(|_| self.spec.flags.parents) {
            Some(at) => (written.get(..at).unwrap_or_default(), written.get(at + 3..).unwrap_or_default()),
            None => ("", written),
        };
        let clean =
            |path: &str| crate::path_pattern::clean(&format!("/{path}")).trim_start_matches('/').to_owned();
        let (base, rest) = (clean(base), clean(rest));
        let bases = if base.is_empty() { vec![Vec::new()] } else { self.paths(&base, b"", written, true)? };
        let wild = has_wildcard(written);
        for base in bases {
            for path in self.paths(&rest, &base, written, !self.spec.flags.parents)? {
                self.add_match(&base, &path, written, wild)?;
            }
        }
        Ok(())
    }

    /// The paths below `base` that match a pattern, as written: symlinks in them are not resolved.
    fn paths(&mut self, pattern: &str, base: &[u8], written: &str, follow: bool) -> Result<Vec<Vec<u8>>> {
        // Only the part from the first wildcard on is walked; the rest is looked up directly.
        let parts: Vec<&str> = pattern.split('/').collect();
        let fixed = parts.iter().position(|part| has_wildcard(part)).unwrap_or(parts.len());
        let prefix = join_text(base, &unescape(&parts.get(..fixed).unwrap_or_default().join("/")));
        let wild = parts.get(fixed..).unwrap_or_default().join("/");
        let start = self.resolve(&prefix, follow || !wild.is_empty())?;
        let Some(start) = start else { return Err(not_found::not_found(self.source, written, &prefix)) };
        if wild.is_empty() {
            return Ok(vec![prefix]);
        }
        let bad =
            |_| invalid(format!("invalid pattern \"{}\": syntax error in pattern", written.escape_debug()));
        let pattern = match self.spec.flags.parents {
            true => PathPattern::parse_path(&wild),
            false => PathPattern::parse_name(&wild),
        };
        let pattern = pattern.map_err(bad)?;
        let mut paths = Vec::new();
        if start.is_dir() {
            let ignored = self.source.ignore_match(&start.path);
            let state = WalkState { path: start.path.clone(), ignored, ..WalkState::default() };
            self.matches(&pattern, &start.dir, &state, &prefix, &mut paths, 0)?;
        }
        Ok(paths)
    }

    fn resolve(&self, path: &[u8], follow: bool) -> Result<Option<ResolvedPath>> {
        self.source.resolve(path, follow).with_context(|| format!("cannot look up `/{}`", display_path(path)))
    }

    /// Walks `dir` for matches of `WalkState::relative`; a match itself is not entered.
    fn matches(
        &self,
        pattern: &PathPattern,
        dir: &ViewDir,
        state: &WalkState,
        prefix: &[u8],
        paths: &mut Vec<Vec<u8>>,
        depth: usize,
    ) -> Result<()> {
        check_depth(depth, &state.path)?;
        for name in dir.names().with_context(|| reading_error(&state.path))? {
            let Some(entry) = dir.lookup(&name).with_context(|| reading_error(&state.path))? else {
                continue;
            };
            let below = self.below(state, name.to_bytes());
            if below.ignored.all && (!entry.is_dir() || self.source.ignore.hides_all_of(&below.path)) {
                continue;
            }
            // Everything below a match is selected with it.
            if pattern.matches(&below.relative) {
                paths.push(join(prefix, &below.relative));
            } else if entry.is_dir() && pattern.may_match_below(&[&below.relative[..], b"/"].concat()) {
                let inner = dir.enter(&name).with_context(|| reading_error(&below.path))?;
                self.matches(pattern, &inner, &below, prefix, paths, depth + 1)?;
            }
        }
        Ok(())
    }

    fn below(&self, state: &WalkState, name: &[u8]) -> WalkState {
        let path = join(&state.path, name);
        let relative = join(&state.relative, name);
        let ignored = self.source.ignore.below(&path, &state.ignored);
        let excluded = if self.exclude.is_empty() {
            MatchInfo::default()
        } else {
            self.exclude.match_child(&relative, &state.excluded)
        };
        WalkState { path, ignored, relative, excluded }
    }

    /// Adds the file or directory at `path`, which a pattern matched below `base`.
    fn add_match(&mut self, base: &[u8], path: &[u8], written: &str, wild: bool) -> Result<()> {
        let resolved = self.resolve(path, !self.spec.flags.parents)?;
        let Some(resolved) = resolved else {
            // A dangling symlink that a wildcard matched.
            return Err(not_found::not_found(self.source, written, path));
        };
        // A directory named literally is always copied; excludes apply to its contents.
        let can_be_excluded = !resolved.is_dir() || wild || self.spec.flags.parents;
        if can_be_excluded
            && self.exclude.matches(path)
            && (!resolved.is_dir() || !self.exclude.has_exception_below(path))
        {
            return Ok(());
        }
        let parents = if self.spec.flags.parents { self.parents(base, path)? } else { Vec::new() };
        let relative = if self.spec.flags.parents { path.to_vec() } else { Vec::new() };
        let state = WalkState {
            ignored: self.source.ignore_match(&resolved.path),
            path: resolved.path.clone(),
            excluded: if relative.is_empty() { MatchInfo::default() } else { self.excluded(&relative) },
            relative,
        };
        let name = split(path).1.to_vec();
        let node = match resolved.entry {
            Some(entry) if !entry.is_dir() => {
                let (_, base) = split(&resolved.path);
                let base = CString::new(base)?;
                self.leaf(&resolved.dir, &base, &entry, &state.path, name)?
            }
            entry => {
                let nodes = self.dir(&resolved.dir, &state, 0)?;
                // Ignored, and nothing in it was re-included: for the build it does not exist.
                if state.ignored.all && nodes.is_empty() {
                    return Err(not_found::not_found(self.source, written, path));
                }
                let attributes = self.dir_attributes(&resolved.dir, entry.as_ref())?;
                Some(SelectedNode { name, kind: NodeKind::Dir(nodes), attributes })
            }
        };
        self.selection.matches.extend(node.map(|node| SourceMatch { parents, node }));
        Ok(())
    }

    fn excluded(&self, path: &[u8]) -> MatchInfo {
        let mut state = MatchInfo::default();
        for end in path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([path.len()])
        {
            state = self.exclude.match_child(path.get(..end).unwrap_or_default(), &state);
        }
        state
    }

    /// The directories between `base` and `path`.
    fn parents(&self, base: &[u8], path: &[u8]) -> Result<Vec<(Vec<u8>, FileAttributes)>> {
        let (dir, _) = split(path);
        let mut current = base.to_vec();
        let below = dir.get(base.len()..).unwrap_or_default();
        let mut parents = Vec::new();
        for part in components(below) {
            current = join(&current, &part);
            let Some(resolved) = self.resolve(&current, true)? else { continue };
            parents.push((part, self.dir_attributes(&resolved.dir, resolved.entry.as_ref())?));
        }
        Ok(parents)
    }

    fn dir(&mut self, dir: &ViewDir, state: &WalkState, depth: usize) -> Result<Vec<SelectedNode>> {
        check_depth(depth, &state.path)?;
        let mut nodes = Vec::new();
        for name in dir.names().with_context(|| reading_error(&state.path))? {
            let Some(entry) = dir.lookup(&name).with_context(|| reading_error(&state.path))? else {
                continue;
            };
            let below = self.below(state, name.to_bytes());
            let left_out = below.ignored.all || below.excluded.all;
            if !entry.is_dir() {
                if !left_out {
                    let node = self.leaf(dir, &name, &entry, &below.path, name.to_bytes().to_vec())?;
                    nodes.extend(node);
                }
                continue;
            }
            let hidden = (below.ignored.all && self.source.ignore.hides_all_of(&below.path))
                || (below.excluded.all && !self.exclude.has_exception_below(&below.relative));
            if hidden {
                continue;
            }
            let inner = dir.enter(&name).with_context(|| reading_error(&below.path))?;
            let inside = self.dir(&inner, &below, depth + 1)?;
            if !left_out || !inside.is_empty() {
                // An excluded directory is created only if something below was re-included.
                let attributes = self.dir_attributes(&inner, Some(&entry))?;
                nodes.push(SelectedNode { name: name.into_bytes(), kind: NodeKind::Dir(inside), attributes });
            }
        }
        Ok(nodes)
    }

    fn dir_attributes(&self, dir: &ViewDir, entry: Option<&ViewEntry>) -> Result<FileAttributes> {
        let Some((_, top)) = dir.top() else {
            return Ok(FileAttributes { mode: 0o755, ..FileAttributes::default() });
        };
        let stat = match entry {
            Some(entry) => entry.stat,
            None => rustix::fs::fstat(top)?,
        };
        if !self.source.keeps_owners() {
            return Ok(FileAttributes { owner: (0, 0), ..FileAttributes::of(&stat) });
        }
        let stored = read_xattrs(top, true);
        Ok(FileAttributes {
            owner: effective_owner(&stat, &stored),
            xattrs: stored.xattrs,
            ..FileAttributes::of(&stat)
        })
    }

    /// `None` for sockets, which are never copied, and for files that vanished.
    fn leaf(
        &mut self,
        dir: &ViewDir,
        base: &CString,
        entry: &ViewEntry,
        path: &[u8],
        name: Vec<u8>,
    ) -> Result<Option<SelectedNode>> {
        let mut attributes = FileAttributes::of(&entry.stat);
        if self.source.keeps_owners() {
            attributes.owner = effective_owner(&entry.stat, &super::attributes::StoredXattrs::default());
        } else {
            attributes.owner = (0, 0);
        }
        let kind = match entry.kind() {
            FileType::RegularFile => match self.regular(dir, base, entry, path, &mut attributes)? {
                Some(kind) => kind,
                None => return Ok(None),
            },
            FileType::Symlink => match dir.read_link(entry, base) {
                Ok(target) => NodeKind::Symlink(target),
                // EINVAL: it was replaced by something else since.
                Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
                Err(error) => return Err(error).with_context(|| reading_error(path)),
            },
            FileType::Fifo => NodeKind::Fifo,
            FileType::CharacterDevice | FileType::BlockDevice => {
                let number = entry.stat.st_rdev;
                let block = entry.kind() == FileType::BlockDevice;
                NodeKind::Device(block, rustix::fs::major(number), rustix::fs::minor(number))
            }
            _ => return Ok(None),
        };
        Ok(Some(SelectedNode { name, kind, attributes }))
    }

    fn regular(
        &mut self,
        dir: &ViewDir,
        base: &CString,
        entry: &ViewEntry,
        path: &[u8],
        attributes: &mut FileAttributes,
    ) -> Result<Option<NodeKind>> {
        if self.source.keeps_owners() {
            // In a layer, owner, xattrs and device nodes may be encoded in user.dhow.* attributes.
            let file = match dir.open(entry, base) {
                Err(Errno::NOENT) => return Ok(None),
                other => other.with_context(|| format!("cannot open `/{}`", display_path(path)))?,
            };
            let stored = read_xattrs(file.as_fd(), true);
            attributes.owner = effective_owner(&entry.stat, &stored);
            if let Some((block, major, minor)) = stored.device {
                return Ok(Some(NodeKind::Device(block, major, minor)));
            }
            attributes.xattrs = stored.xattrs;
        }
        self.selection.files.push(FileRef {
            path: path.to_vec(),
            layer: entry.layer,
            identity: FileIdentity::of(&entry.stat),
            hard_linked: entry.stat.st_nlink > 1,
            digest: None,
        });
        Ok(Some(NodeKind::File(self.selection.files.len() - 1)))
    }
}

fn check_depth(depth: usize, path: &[u8]) -> Result<()> {
    if depth >= MAX_DEPTH {
        let path = display_path(path.get(..80).unwrap_or(path));
        return Err(
            invalid(format!("directories are nested more than {MAX_DEPTH} deep below `/{path}…`")).into()
        );
    }
    Ok(())
}

fn reading_error(path: &[u8]) -> String {
    format!("cannot read `/{}`", display_path(path))
}

fn join_text(dir: &[u8], path: &str) -> Vec<u8> {
    if path.is_empty() { dir.to_vec() } else { join(dir, path.as_bytes()) }
}

/// Removes the backslashes of a path without wildcards.
fn unescape(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    plain
}
