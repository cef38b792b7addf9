//! The tree of a layer while COPY, ADD or WORKDIR write it, seen over the layers below without mounting them.
//!
//! A path is resolved as in the finished image: through links and merged directories, never out of it. What lies below
//! and is not written to stays where it is; a directory on the way is repeated with what the uppermost layer says of it.
//! Directories get their mode and time at the end, because filling them changes the time and may not be allowed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::attributes::{self, Attributes, Time, times};
use super::open_root;
use super::owner;
use super::place::{Place, There, remove};
use super::view::{MAX_LINKS, View, ViewDir, components, join, open_beneath, open_dir, shown};
use crate::error::{invalid, unsupported};
use crate::model::layer::Identity;

/// Owners, by path, of what the disk cannot hold them of: links and pipes where there is one id only, or no such id.
pub type Owners = BTreeMap<Vec<u8>, (u32, u32)>;

/// A layer being filled.
pub struct Target {
    root: Rc<Place>,
    /// The layers below, for looking up users.
    lowers: View,
    identity: Identity,
    epoch: Option<i64>,
    dirs: Vec<DirEnd>,
    owners: Owners,
}

/// What a directory gets at the end.
struct DirEnd {
    path: Vec<u8>,
    mode: u32,
    mtime: Option<Time>,
}

/// Where a path leads.
pub enum Spot {
    /// To a directory.
    Dir(Rc<Place>),
    /// To this name in a directory, where nothing is, or something that is no directory.
    Name(Rc<Place>, CString),
}

impl Target {
    /// Begins to fill `tree`, an empty directory, on top of `lowers`, the uppermost first. `epoch` are the seconds since
    /// 1970 that count as now.
    pub fn open<P: AsRef<Path>>(
        tree: &Path,
        lowers: &[P],
        identity: Identity,
        epoch: Option<i64>,
    ) -> Result<Self> {
        let lowers = View::layers(lowers)?;
        let own = open_root(tree)?;
        let below = Self::attributes_of(lowers.root())?;
        if let Some(below) = &below {
            attributes::give(&own, identity, below)?;
        }
        let end = match below {
            Some(below) => DirEnd { path: Vec::new(), mode: below.mode, mtime: Some(below.mtime) },
            None => DirEnd { path: Vec::new(), mode: 0o755, mtime: epoch.map(|epoch| (epoch, 0)) },
        };
        let root = Place::root(own, lowers.root().clone());
        Ok(Self { root, lowers, identity, epoch, dirs: vec![end], owners: Owners::new() })
    }

    /// From now on nothing of the layers below is seen, nor said again in this one.
    pub fn stand_alone(&mut self) -> Result<()> {
        let own = self.root.own().ok_or(Errno::BADF)?.try_clone_to_owned()?;
        self.root = Place::root(own, ViewDir::empty());
        Ok(())
    }

    /// The root of it.
    pub fn root(&self) -> &Rc<Place> {
        &self.root
    }

    /// The owner and group that `chown` (`user[:group]`) means in the layers below.
    pub fn owner(&self, chown: &str) -> Result<(u32, u32)> {
        owner::owner(&self.lowers, chown)
    }

    /// Makes what is missing of the directory `path`. Returns whether anything was.
    pub fn make_dirs(&mut self, path: &str, owner: (u32, u32)) -> Result<bool> {
        let before = self.dirs.len();
        let root = Rc::clone(&self.root);
        let place = self.dir(&root, path.as_bytes(), owner)?;
        // Those that are below and were repeated only as a way to the new ones do not count.
        Ok(place.lower.is_empty() && self.dirs.len() > before)
    }

    /// The directory that `path` leads to from `base`; missing ones are made, 0755 and `owner`'s.
    pub fn dir(&mut self, base: &Rc<Place>, path: &[u8], owner: (u32, u32)) -> Result<Rc<Place>> {
        match self.follow(base, path, owner, true)? {
            Spot::Dir(place) => Ok(place),
            Spot::Name(place, _) => Ok(place),
        }
    }

    /// Where `path` leads from `base`, links followed; directories missing on the way are made, 0755 and `owner`'s.
    pub fn spot(&mut self, base: &Rc<Place>, path: &[u8], owner: (u32, u32)) -> Result<Spot> {
        self.follow(base, path, owner, false)
    }

    fn follow(&mut self, base: &Rc<Place>, path: &[u8], owner: (u32, u32), whole: bool) -> Result<Spot> {
        let doing = || format!("on the way through `/{}`", shown(path));
        let mut here = Rc::clone(base);
        let mut pending: VecDeque<Vec<u8>> = components(path);
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == b".." {
                here = here.parent.clone().unwrap_or(here);
                continue;
            }
            let last = pending.is_empty() && !whole;
            let name = CString::new(part)?;
            let there = here.there(&name).with_context(doing)?;
            match there.as_ref().map(There::kind) {
                None if last => return Ok(Spot::Name(here, name)),
                None => {
                    let attributes = Attributes { owner, mode: 0o755, ..Attributes::default() };
                    here = self.new_dir(&here, &name, &attributes, self.now()).with_context(doing)?;
                }
                Some(FileType::Directory) => here = here.enter(&name).with_context(doing)?,
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP).with_context(doing);
                    }
                    let target = here.read_link(&name).with_context(doing)?;
                    if target.starts_with(b"/") {
                        here = Rc::clone(&self.root);
                    }
                    for part in components(&target).into_iter().rev() {
                        pending.push_front(part);
                    }
                }
                Some(_) if last => return Ok(Spot::Name(here, name)),
                Some(_) => {
                    let path = shown(&join(&here.path, name.to_bytes()));
                    return Err(invalid(format!("cannot copy to non-directory: /{path}")).into());
                }
            }
        }
        Ok(Spot::Dir(here))
    }

    /// The time of what is made anew; `None` for that of its making.
    fn now(&self) -> Option<Time> {
        self.epoch.map(|epoch| (epoch, 0))
    }

    /// The time for a copy of what changed at `mtime`. `host`: a file of the host, whose time says nothing.
    pub fn time_of_copy(&self, mtime: (i64, u32), host: bool) -> (i64, u32) {
        match self.epoch {
            Some(epoch) if host => (epoch, 0),
            Some(epoch) => mtime.min((epoch, 0)),
            None => mtime,
        }
    }

    /// The layer's own directory for `place`, made like the one below if it has none yet.
    fn own<'a>(&mut self, place: &'a Place) -> Result<BorrowedFd<'a>> {
        if let Some(own) = place.own() {
            return Ok(own);
        }
        let parent = place.parent.as_deref().context("a layer without a root")?;
        let above = self.own(parent)?;
        rustix::fs::mkdirat(above, &place.name, Mode::RWXU)?;
        let own = open_dir(above, &place.name)?;
        if let Some(below) = Self::attributes_of(&place.lower)? {
            attributes::give(&own, self.identity, &below)?;
            self.dirs.push(DirEnd { path: place.path.clone(), mode: below.mode, mtime: Some(below.mtime) });
        }
        place.set_own(own);
        place.own().context("a directory that was just made")
    }

    /// What the uppermost of a directory's layers says of it.
    fn attributes_of(dir: &ViewDir) -> Result<Option<Attributes>> {
        let Some((_, top)) = dir.top() else { return Ok(None) };
        let stat = rustix::fs::fstat(top)?;
        let kept = attributes::read(top, true);
        let owner = attributes::owner(&stat, &kept);
        Ok(Some(Attributes { owner, xattrs: kept.xattrs, ..Attributes::of(&stat) }))
    }

    /// Makes a directory where none is seen; something else in its place is removed first.
    fn new_dir(
        &mut self,
        place: &Rc<Place>,
        name: &CStr,
        attributes: &Attributes,
        mtime: Option<Time>,
    ) -> Result<Rc<Place>> {
        let above = self.own(place)?;
        Self::make(above, name, || rustix::fs::mkdirat(above, name, Mode::RWXU))?;
        let own = open_dir(above, name)?;
        // What was in its place hid a directory below, which must not come back.
        if place.lower.find(name)?.is_some_and(|seen| seen.is_dir()) {
            set_opaque(&own)?;
        }
        let made = Place::new(place, name, own);
        self.set_dir(&made, attributes, mtime)?;
        Ok(made)
    }

    fn set_dir(&mut self, place: &Rc<Place>, attributes: &Attributes, mtime: Option<Time>) -> Result<()> {
        let own = self.own(place)?;
        self.reown(own, attributes.owner)?;
        attributes::give(own, self.identity, attributes)?;
        self.dirs.push(DirEnd { path: place.path.clone(), mode: attributes.mode, mtime });
        Ok(())
    }

    /// Gives a directory of the layer what is said of it.
    pub fn describe_dir(&mut self, place: &Rc<Place>, attributes: &Attributes) -> Result<()> {
        self.set_dir(place, attributes, Some(attributes.mtime))
    }

    /// Takes an owner away that a directory had, where root is to be the new one.
    fn reown(&self, own: BorrowedFd<'_>, owner: (u32, u32)) -> Result<()> {
        if owner != (0, 0) {
            return Ok(());
        }
        let _ = rustix::fs::fremovexattr(own, "user.dhow.owner");
        let stat = rustix::fs::fstat(own)?;
        let root = (rustix::process::geteuid(), rustix::process::getegid());
        if (stat.st_uid, stat.st_gid) == (root.0.as_raw(), root.1.as_raw()) {
            return Ok(());
        }
        rustix::fs::fchown(own, Some(root.0), Some(root.1)).context("cannot set the owner")
    }

    /// The directory `name` in `place`: made if it is not there, given `attributes` if it is and `overwrite`. With
    /// `replace` it takes the place of something else.
    pub fn make_dir(
        &mut self,
        place: &Rc<Place>,
        name: &CStr,
        attributes: &Attributes,
        overwrite: bool,
        replace: bool,
    ) -> Result<Rc<Place>> {
        match place.there(name)? {
            Some(there) if there.is_dir() => {
                let dir = place.enter(name)?;
                if overwrite {
                    self.set_dir(&dir, attributes, Some(attributes.mtime))?;
                }
                Ok(dir)
            }
            Some(_) if !replace => {
                let path = shown(&join(&place.path, name.to_bytes()));
                Err(invalid(format!("cannot copy to non-directory: /{path}")).into())
            }
            _ => self.new_dir(place, name, attributes, Some(attributes.mtime)),
        }
    }

    /// Makes room for something that is no directory. A directory goes only with `replace`.
    fn clear(&mut self, place: &Rc<Place>, name: &CStr, replace: bool) -> Result<()> {
        match place.there(name)? {
            Some(there) if there.is_dir() && !replace => {
                let path = shown(&join(&place.path, name.to_bytes()));
                Err(invalid(format!("cannot replace to directory /{path} with file")).into())
            }
            Some(there) if there.own => Ok(remove(self.own(place)?, name)?),
            _ => Ok(()),
        }
    }

    /// Does what makes a new name, again where a whiteout has it.
    fn make<T>(dir: BorrowedFd<'_>, name: &CStr, action: impl Fn() -> Result<T, Errno>) -> Result<T> {
        match action() {
            Err(Errno::EXIST) => {
                remove(dir, name)?;
                Ok(action()?)
            }
            other => Ok(other?),
        }
    }

    /// Makes an empty file that is to have `mode`, to be filled and given to [`Target::finish_file`].
    pub fn create(&mut self, place: &Rc<Place>, name: &CStr, mode: u32, replace: bool) -> Result<File> {
        self.clear(place, name, replace)?;
        let own = self.own(place)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // As far as the mask of the process lets it, so that mostly nothing is left to do for the mode.
        let mode = Mode::from_raw_mode(mode & 0o777);
        Self::make(own, name, || rustix::fs::openat(own, name, flags, mode)).map(File::from)
    }

    /// Gives a file its owner, attributes, mode and time.
    pub fn finish_file(&self, file: &File, attributes: &Attributes) -> Result<()> {
        attributes::give(file, self.identity, attributes)?;
        // After the owner: a change of owner takes the setuid bit away.
        if rustix::fs::fstat(file)?.st_mode & 0o7777 != attributes.mode {
            rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode)).context("cannot set the mode")?;
        }
        rustix::fs::futimens(file, &times(attributes.mtime)).context("cannot set the time")
    }

    /// Makes a symbolic link.
    pub fn make_symlink(
        &mut self,
        place: &Rc<Place>,
        name: &CStr,
        target: &[u8],
        attributes: &Attributes,
        replace: bool,
    ) -> Result<()> {
        self.clear(place, name, replace)?;
        let own = self.own(place)?;
        Self::make(own, name, || rustix::fs::symlinkat(target, own, name))?;
        self.finish_unopened(place, name, attributes)
    }

    /// Makes a named pipe.
    pub fn make_fifo(
        &mut self,
        place: &Rc<Place>,
        name: &CStr,
        attributes: &Attributes,
        replace: bool,
    ) -> Result<()> {
        self.clear(place, name, replace)?;
        let own = self.own(place)?;
        let mode = Mode::RUSR | Mode::WUSR;
        Self::make(own, name, || rustix::fs::mknodat(own, name, FileType::Fifo, mode, 0))?;
        // Nothing else writes to the tree, so the name is still the pipe just made and no link.
        rustix::fs::chmodat(own, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())?;
        self.finish_unopened(place, name, attributes)
    }

    /// Makes what stands for a device: an empty file, since devices cannot be made in a user namespace.
    pub fn make_device(
        &mut self,
        place: &Rc<Place>,
        name: &CStr,
        device: (bool, u32, u32),
        attributes: &Attributes,
        replace: bool,
    ) -> Result<()> {
        let file = self.create(place, name, attributes.mode, replace)?;
        attributes::stand_for_device(&file, device);
        self.finish_file(&file, attributes)
    }

    /// Gives what has the name `from.1` in `from.0`, in this layer, another name.
    pub fn make_hard_link(
        &mut self,
        from: (&Rc<Place>, &CStr),
        place: &Rc<Place>,
        name: &CStr,
        replace: bool,
    ) -> Result<()> {
        let source = from.0.own().ok_or(Errno::NOENT)?;
        let stat = rustix::fs::statat(source, from.1, AtFlags::SYMLINK_NOFOLLOW)?;
        let old = place.there(name)?.filter(|old| old.own);
        if old.is_some_and(|old| (old.stat.st_dev, old.stat.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        self.clear(place, name, replace)?;
        let own = self.own(place)?;
        Self::make(own, name, || rustix::fs::linkat(source, from.1, own, name, AtFlags::empty()))
    }

    /// Owner and time of what cannot be opened.
    fn finish_unopened(&mut self, place: &Rc<Place>, name: &CStr, attributes: &Attributes) -> Result<()> {
        let own = self.own(place)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let path = join(&place.path, name.to_bytes());
        // One that was here before may have been somebody else's.
        self.owners.remove(&path);
        if attributes.owner != (0, 0) {
            let (uid, gid) = (Uid::from_raw(attributes.owner.0), Gid::from_raw(attributes.owner.1));
            let given = match self.identity {
                Identity::Mapped => rustix::fs::chownat(own, name, Some(uid), Some(gid), flags),
                Identity::Single => Err(Errno::PERM),
            };
            match given {
                // Attributes cannot be had here; the recipe is told.
                Err(Errno::INVAL | Errno::PERM) => drop(self.owners.insert(path, attributes.owner)),
                other => other.context("cannot set the owner")?,
            }
        }
        rustix::fs::utimensat(own, name, &times(attributes.mtime), flags).context("cannot set the time")
    }

    /// Gives the directories their modes and times, the deepest first: a mode may forbid to enter. Returns the owners
    /// that are to be told whoever hashes the layer.
    pub fn finish(mut self) -> Result<Owners> {
        let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count() + usize::from(!path.is_empty());
        // Stable, so of several entries for one directory the last stays last, and it decides.
        self.dirs.sort_by(|a, b| (Reverse(depth(&a.path)), &a.path).cmp(&(Reverse(depth(&b.path)), &b.path)));
        let root = self.root.own().context("a layer without a root")?;
        for (index, end) in self.dirs.iter().enumerate() {
            if self.dirs.get(index + 1).is_none_or(|next| next.path != end.path) {
                finish_dir(root, end)
                    .with_context(|| format!("cannot set the mode of `/{}`", shown(&end.path)))?;
            }
        }
        Ok(self.owners)
    }
}

fn finish_dir(root: BorrowedFd<'_>, end: &DirEnd) -> Result<(), Errno> {
    let dir = match open_beneath(root, &end.path, OFlags::RDONLY | OFlags::DIRECTORY) {
        // Something else was put in its place.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    rustix::fs::fchmod(&dir, Mode::from_raw_mode(end.mode))?;
    end.mtime.map_or(Ok(()), |mtime| rustix::fs::futimens(&dir, &times(mtime)))
}

fn set_opaque(dir: &OwnedFd) -> Result<()> {
    rustix::fs::fsetxattr(dir.as_fd(), "user.overlay.opaque", b"y", XattrFlags::empty()).with_context(|| {
        unsupported("the store's file system cannot hold the attribute `user.overlay.opaque`")
            .hint("choose a store on a local file system with DHOW_ROOT")
    })
}
