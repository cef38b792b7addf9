//! `--volumes-from`: the mounts of other containers, copied when a container is created.

use anyhow::Result;

use dhow_error::{Failure, invalid};
use dhow_model::container::ContainerSpec;
use dhow_model::mount::{MountSource, MountSpec};
use dhow_store::Store;

/// Adds the mounts of the containers that `spec` names. At the same target the container's own mounts win,
/// then those of containers named later. A tmpfs cannot be shared and is left out, as docker does.
pub(crate) fn add_mounts_from(store: &Store, spec: &mut ContainerSpec) -> Result<()> {
    let mut mounts: Vec<MountSpec> = Vec::new();
    for text in &spec.volumes_from {
        let (name, read_only) = parse(text)?;
        let source = store.find_container(name)?;
        mounts.extend(source.spec().mounts.iter().filter_map(|mount| inherited_mount(mount, read_only)));
    }
    mounts.append(&mut spec.mounts);
    // The last one at a target wins.
    let mut merged: Vec<MountSpec> = Vec::new();
    for mount in mounts.into_iter().rev() {
        if merged.iter().all(|other| other.target != mount.target) {
            merged.insert(0, mount);
        }
    }
    spec.mounts = merged;
    Ok(())
}

/// `CONTAINER[:ro|rw]`.
fn parse(text: &str) -> Result<(&str, bool), Failure> {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    match mode {
        _ if name.is_empty() => Err(invalid("--volumes-from: the name of a container is missing")),
        // `z` and `Z` are about SELinux labels, which an unprivileged user cannot set.
        "" | "rw" | "z" | "Z" | "rw,z" | "rw,Z" => Ok((name, false)),
        "ro" | "ro,z" | "ro,Z" => Ok((name, true)),
        mode => Err(invalid(format!("invalid mode for volumes-from: {}", mode.escape_debug()))),
    }
}

fn inherited_mount(mount: &MountSpec, read_only: bool) -> Option<MountSpec> {
    let mut mount = mount.clone();
    match &mut mount.source {
        MountSource::Tmpfs { .. } => return None,
        // The container that it comes from has filled it already.
        MountSource::Volume { no_copy, .. } => *no_copy = true,
        MountSource::Bind { .. } => {}
    }
    mount.read_only |= read_only;
    Some(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_store::new_container_id;

    fn volume(name: &str, target: &str) -> MountSpec {
        let source = MountSource::Volume {
            name: Some(name.into()),
            anonymous: false,
            no_copy: false,
            subpath: None,
            setup: Default::default(),
        };
        MountSpec { target: target.into(), source, read_only: false }
    }

    fn with(name: &str, mounts: Vec<MountSpec>) -> ContainerSpec {
        ContainerSpec { id: new_container_id().unwrap(), name: name.into(), mounts, ..Default::default() }
    }

    #[test]
    fn own_mounts_win_and_later_containers_over_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let tmpfs = MountSource::Tmpfs { size: None, mode: None, options: Vec::new() };
        let memory = MountSpec { target: "/memory".into(), source: tmpfs, read_only: false };
        let first = with("first", vec![volume("one", "/a"), volume("two", "/b"), memory]);
        let second = with("second", vec![volume("three", "/b"), volume("four", "/c")]);
        for spec in [&first, &second] {
            drop(store.create_container(spec).unwrap());
        }
        let mut spec = with("third", vec![volume("own", "/c")]);
        spec.volumes_from = vec!["first:ro".into(), "second".into()];
        add_mounts_from(&store, &mut spec).unwrap();
        let shown: Vec<_> = spec
            .mounts
            .iter()
            .map(|mount| match &mount.source {
                MountSource::Volume { name, no_copy, .. } => {
                    (mount.target.as_str(), name.as_deref().unwrap(), mount.read_only, *no_copy)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            shown,
            [("/a", "one", true, true), ("/b", "three", false, true), ("/c", "own", false, false)]
        );
        for bad in ["nobody", "first:maybe", ":ro"] {
            let mut spec = ContainerSpec { volumes_from: vec![bad.into()], ..Default::default() };
            assert!(add_mounts_from(&store, &mut spec).is_err(), "{bad}");
        }
    }
}
