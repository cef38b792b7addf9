//! Container names: symbolic links in `containers/by-name/` to IDs. The process that creates the link owns
//! the name.
//!
//! # Stale links
//!
//! A link is stale if its container is gone, if the container's creator died before it was complete, or if the
//! container's spec has another name and nobody is renaming it. A rename creates the new link, writes the spec,
//! then removes the old link, all under the container's edit lock: wherever it dies, one of the two names
//! refers to the container and the other is free. A removal removes the container first and its name
//! afterwards. Links are removed only under the lock `stale-names`, so a link found stale under it stays stale
//! until the lock is released.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use super::containers::{check_id, check_name, no_such_container};
use super::lock::{FileLock, LockMode};
use super::spec_edit::SpecEdit;
use super::{ContainerDir, Store};
use crate::fs::{ignore_missing, is_missing, list_dir, with_dir};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::ContainerSpec;

/// The owner of a name.
enum NameHolder {
    Complete(Box<ContainerDir>),
    /// The ID of a container that is being created.
    Creating(String),
}

impl NameHolder {
    fn id(&self) -> &str {
        match self {
            Self::Complete(container) => &container.spec().id,
            Self::Creating(id) => id,
        }
    }
}

impl Store {
    /// Resolves user input: an ID, a name (with or without a leading slash), or a unique ID prefix.
    pub fn find_container(&self, text: &str) -> anyhow::Result<ContainerDir> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if check_id(text).is_err()
            && check_name(name).is_ok()
            && let Some(NameHolder::Complete(container)) = self.name_holder(name)?
        {
            return Ok(*container);
        }
        let id = if check_id(text).is_ok() { Some(text.to_owned()) } else { self.id_by_prefix(text)? };
        let container = id.map(|id| self.container(&id)).transpose()?.flatten();
        container.ok_or_else(|| no_such_container(text))
    }

    /// The IDs of the containers whose name `matches`, in order, and possibly of some that are being renamed, created
    /// or removed: only the links of the names are looked at.
    pub fn container_ids_named(&self, matches: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
        let dir = self.by_name_dir();
        let mut names = list_dir(&dir).context("cannot list the names of containers")?;
        names.retain(|name| matches(name));
        let target = |name: &String| Some(std::fs::read_link(dir.join(name)).ok()?.to_str()?.to_owned());
        let mut ids: Vec<String> = names.iter().filter_map(target).collect();
        ids.retain(|id| check_id(id).is_ok());
        ids.sort_unstable();
        // A container that is being renamed has two names.
        ids.dedup();
        Ok(ids)
    }

    fn id_by_prefix(&self, text: &str) -> anyhow::Result<Option<String>> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut matching = self.container_ids()?.into_iter().filter(|id| id.starts_with(text));
        let first = matching.next();
        if matching.next().is_some() {
            return Err(invalid(format!("Multiple IDs found with provided prefix: {text}")).into());
        }
        Ok(first)
    }

    /// Renames the container, running or not, and returns it with its new spec.
    ///
    /// Errors of kind invalid if the name is malformed or already the container's, conflict if another
    /// container has it, not-found if the container was removed.
    pub fn rename_container(&self, container: &ContainerDir, new: &str) -> anyhow::Result<ContainerDir> {
        check_name(new)?;
        let editing = SpecEdit::begin(container)?;
        let old = editing.spec();
        if old.name == new {
            return Err(invalid("Renaming a container with the same name as its current name").into());
        }
        self.claim_name(&old.id, new)?;
        let spec = ContainerSpec { name: new.to_owned(), ..old.clone() };
        if let Err(error) = editing.write(&spec) {
            self.release_name(&spec)?;
            return Err(error);
        }
        self.release_name(old)?;
        let renamed = editing.finish(spec);
        // A concurrent removal may have started before the new link existed and so not know about it.
        if !renamed.path().exists() {
            self.remove_stale_name(new)?;
            return Err(no_such_container(&renamed.spec().id));
        }
        Ok(renamed)
    }

    /// Like [`Store::reserve_name`], for a container whose edit lock the caller holds: a link left by an
    /// interrupted rename of the same container counts as reserved.
    fn claim_name(&self, id: &str, name: &str) -> anyhow::Result<()> {
        let lock = FileLock::acquire(&self.plain_lock_path("stale-names"), LockMode::Exclusive)?;
        if self.name_points_to(name, id) {
            return Ok(());
        }
        drop(lock);
        self.reserve_name(id, name)
    }

    /// Creates the link `name` to the container `id`, replacing a stale one. An error of kind conflict if the
    /// name is taken.
    pub(super) fn reserve_name(&self, id: &str, name: &str) -> anyhow::Result<()> {
        let dir = self.by_name_dir();
        let link = dir.join(name);
        loop {
            match with_dir(&dir, || std::os::unix::fs::symlink(id, &link)) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(holder) = self.name_holder(name)? {
                return Err(name_conflict(name, holder.id()).into());
            }
            self.remove_stale_name(name)?;
        }
    }

    /// Removes the link of a name that the container no longer has, unless another container has taken the
    /// name meanwhile.
    fn release_name(&self, spec: &ContainerSpec) -> anyhow::Result<()> {
        let _lock = FileLock::acquire(&self.plain_lock_path("stale-names"), LockMode::Exclusive)?;
        if self.name_points_to(&spec.name, &spec.id) {
            ignore_missing(std::fs::remove_file(self.by_name_dir().join(&spec.name)))?;
        }
        Ok(())
    }

    fn name_points_to(&self, name: &str, id: &str) -> bool {
        std::fs::read_link(self.by_name_dir().join(name)).is_ok_and(|target| target == Path::new(id))
    }

    /// The owner of a name; `None` if the link is missing or stale.
    fn name_holder(&self, name: &str) -> anyhow::Result<Option<NameHolder>> {
        let id = match std::fs::read_link(self.by_name_dir().join(name)) {
            Ok(target) => target.to_string_lossy().into_owned(),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let dir = self.containers_dir().join(&id);
        let Some(container) = self.container(&id)? else {
            if FileLock::is_held(&dir.join("lock"))? {
                return Ok(Some(NameHolder::Creating(id)));
            }
            // Its creator may have finished and released the lock between the two checks.
            return Ok(self.container(&id)?.map(|made| NameHolder::Complete(Box::new(made))));
        };
        if container.spec().name == name || FileLock::is_held(&dir.join("edit"))? {
            return Ok(Some(NameHolder::Complete(Box::new(container))));
        }
        // A rename may have completed between the two checks.
        let renamed = self.container(&id)?.filter(|renamed| renamed.spec().name == name);
        Ok(renamed.map(|renamed| NameHolder::Complete(Box::new(renamed))))
    }

    /// Removes the link `name` if it is stale.
    pub(super) fn remove_stale_name(&self, name: &str) -> anyhow::Result<()> {
        let _lock = FileLock::acquire(&self.plain_lock_path("stale-names"), LockMode::Exclusive)?;
        let link = self.by_name_dir().join(name);
        // A missing link may be created at any time by the name's next owner. Or another process removed the
        // stale link, and the name has been taken since.
        if link.is_symlink() && self.name_holder(name)?.is_none() {
            ignore_missing(std::fs::remove_file(link))?;
        }
        Ok(())
    }

    /// Removes stale names: those of containers that were never completed, or were removed without their
    /// name.
    pub(super) fn sweep_names(&self) -> anyhow::Result<()> {
        let names = list_dir(&self.by_name_dir())?;
        // A container that is not complete has its creator, or is gone: it was swept before.
        let ids: HashSet<String> = self.container_ids()?.into_iter().collect();
        for name in names {
            let target = std::fs::read_link(self.by_name_dir().join(&name)).unwrap_or_default();
            if !target.to_str().is_some_and(|id| ids.contains(id)) {
                self.remove_stale_name(&name)?;
            }
        }
        Ok(())
    }
}

fn name_conflict(name: &str, holder: &str) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!(
            "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
             You have to remove (or rename) that container to be able to reuse that name."
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::new_container_id;
    use crate::scratch::store;
    use dhow_error::kind_of;

    fn make(store: &Store, name: &str) -> ContainerDir {
        let spec = ContainerSpec { id: new_container_id().unwrap(), name: name.into(), ..Default::default() };
        drop(store.create_container(&spec).unwrap());
        store.find_container(name).unwrap()
    }

    fn links(store: &Store) -> Vec<String> {
        crate::fs::list_dir(&store.by_name_dir()).unwrap()
    }

    #[test]
    fn the_old_name_is_free_and_the_new_one_taken() {
        let (_dir, store) = store();
        let container = make(&store, "old");
        let other = make(&store, "other");
        let renamed = store.rename_container(&container, "new").unwrap();
        assert_eq!(renamed.spec().name, "new");
        assert_eq!(store.find_container("new").unwrap().spec().id, container.spec().id);
        assert_eq!(kind_of(&store.find_container("old").unwrap_err()), FailureKind::NotFound);
        let error = store.rename_container(&renamed, "other").unwrap_err();
        assert_eq!(kind_of(&error), FailureKind::Conflict);
        assert!(error.to_string().contains(&other.spec().id), "{error}");
        assert_eq!(kind_of(&store.rename_container(&renamed, "new").unwrap_err()), FailureKind::Invalid);
        assert_eq!(kind_of(&store.rename_container(&renamed, "a/b").unwrap_err()), FailureKind::Invalid);
        make(&store, "old");
        assert_eq!(links(&store), ["new", "old", "other"]);
    }

    /// Leaves the state of a rename that died after `steps` of its three steps.
    fn interrupted(store: &Store, container: &ContainerDir, steps: u32) {
        let spec = ContainerSpec { name: "new".into(), ..container.spec().clone() };
        if steps > 0 {
            store.reserve_name(&spec.id, "new").unwrap();
        }
        if steps > 1 {
            SpecEdit::begin(container).unwrap().write(&spec).unwrap();
        }
    }

    #[test]
    fn a_rename_that_dies_leaves_one_of_the_names() {
        for steps in 0..3 {
            let (_dir, store) = store();
            let container = make(&store, "old");
            interrupted(&store, &container, steps);
            let (has, free) = if steps > 1 { ("new", "old") } else { ("old", "new") };
            assert_eq!(store.find_container(has).unwrap().spec().id, container.spec().id, "{steps}");
            assert_eq!(kind_of(&store.find_container(free).unwrap_err()), FailureKind::NotFound);
            make(&store, free);
            assert_eq!(links(&store), ["new", "old"]);
        }
    }

    #[test]
    fn a_rename_that_died_can_be_repeated_and_undone() {
        for (steps, wanted) in [(1, "new"), (2, "old")] {
            let (_dir, store) = store();
            interrupted(&store, &make(&store, "old"), steps);
            let container = store.containers().unwrap().remove(0);
            store.rename_container(&container, wanted).unwrap();
            assert_eq!(store.find_container(wanted).unwrap().spec().name, wanted);
            assert_eq!(links(&store), [wanted]);
        }
    }

    #[test]
    fn a_sweep_takes_names_of_containers_that_never_came_to_be() {
        let (_dir, store) = store();
        let _kept = make(&store, "kept");
        store.reserve_name(&crate::new_container_id().unwrap(), "never").unwrap();
        store.sweep().unwrap();
        assert_eq!(links(&store), ["kept"]);
    }

    #[test]
    fn removal_takes_the_names_of_now_along() {
        let (_dir, store) = store();
        let held = make(&store, "old").lock().unwrap().unwrap();
        store.rename_container(&held, "new").unwrap();
        store.remove_container(held).unwrap();
        assert_eq!(links(&store), [""; 0]);
    }

    #[test]
    fn renames_and_removals_at_once_end_as_if_one_came_first() {
        for _ in 0..30 {
            let (_dir, store) = store();
            let (one, two) = (make(&store, "one"), make(&store, "two"));
            let held = two.clone().lock().unwrap().unwrap();
            let start = Barrier::new(4);
            let go = |action: &dyn Fn() -> anyhow::Result<()>| {
                start.wait();
                action().map_err(|error| kind_of(&error)).err()
            };
            let rename =
                |container: &ContainerDir, name: &str| store.rename_container(container, name).map(drop);
            std::thread::scope(|scope| {
                let threads = [
                    scope.spawn(|| go(&|| rename(&one, "a1"))),
                    scope.spawn(|| go(&|| rename(&one, "b1"))),
                    scope.spawn(|| go(&|| rename(&two, "a1"))),
                ];
                start.wait();
                store.remove_container(held).unwrap();
                for thread in threads {
                    let failed = thread.join().unwrap();
                    assert!(
                        matches!(failed, None | Some(FailureKind::Conflict | FailureKind::NotFound)),
                        "{failed:?}"
                    );
                }
            });
            let left = store.containers().unwrap();
            assert_eq!(left.len(), 1);
            let name = &left[0].spec().name;
            assert!(["one", "a1", "b1"].contains(&name.as_str()), "{name}");
            assert_eq!(links(&store), [name.as_str()]);
        }
    }

    #[test]
    fn two_take_one_name_once() {
        for _ in 0..30 {
            let (_dir, store) = store();
            let made = [make(&store, "one"), make(&store, "two")];
            let won = std::thread::scope(|scope| {
                let threads: Vec<_> = made
                    .iter()
                    .map(|made| scope.spawn(|| store.rename_container(made, "same").is_ok()))
                    .collect();
                threads
                    .into_iter()
                    .filter(|_| true)
                    .map(|thread| thread.join().unwrap())
                    .filter(|won| *won)
                    .count()
            });
            assert_eq!(won, 1);
            assert_eq!(links(&store).len(), 2);
        }
    }

    #[test]
    fn a_name_that_changes_hands_stays_with_who_has_it() {
        let (_dir, store) = store();
        let take_and_leave = || {
            for _ in 0..200 {
                let spec = ContainerSpec {
                    id: new_container_id().unwrap(),
                    name: "x1".into(),
                    ..Default::default()
                };
                match store.create_container(&spec) {
                    Ok(made) => {
                        assert!(store.name_points_to("x1", &spec.id));
                        store.remove_container(made).unwrap();
                    }
                    Err(error) => assert_eq!(kind_of(&error), FailureKind::Conflict, "{error:#}"),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(take_and_leave);
            }
            scope.spawn(|| {
                for _ in 0..600 {
                    store.remove_stale_name("x1").unwrap();
                    store.sweep_names().unwrap();
                }
            });
        });
        assert_eq!(links(&store), [""; 0]);
    }
}
