//! Detects how a container's cgroup can be created, which limits will have no effect, and what would change
//! that.

use std::path::Path;

use anyhow::Result;

use super::controller::{Controller, Controllers};
use super::delegated::Directory;
use super::hierarchy::Hierarchy;
use super::systemd::Manager;
use super::{Cgroup, Surroundings, settings};
use crate::error::{Failure, invalid};
use crate::model::limits::{LimitsSpec, parse_list};

/// Creates the cgroup of a container with the driver that works here.
#[derive(Clone, Debug)]
pub struct Way {
    surroundings: Surroundings,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A scope of systemd's user manager.
    Scope(Hierarchy, Manager),
    /// Below a directory delegated to this account.
    Directory(Hierarchy, Directory),
    /// Unavailable: the reason, and the command that would change it.
    None(String),
}

impl Way {
    /// Detects the driver; changes nothing. `parent` is the value of `--cgroup-parent`, or empty.
    pub fn find(parent: &str, surroundings: Surroundings) -> Result<Self, Failure> {
        check_parent(parent)?;
        let kind = kind(parent, &surroundings);
        Ok(Self { surroundings, kind })
    }

    /// Why no driver is available, and the command that would change it.
    pub fn why_none(&self) -> Option<&str> {
        if let Kind::None(reason) = &self.kind { Some(reason) } else { None }
    }

    /// docker's warnings for those of `limits` that will have no effect; reason and remedy follow the last
    /// one.
    pub fn discarded(&self, limits: &LimitsSpec) -> Vec<String> {
        let has_file = |name: &str| match &self.kind {
            Kind::Scope(_, manager) => manager.directory.join(name).exists(),
            Kind::Directory(hierarchy, directory) => directory.has_file(name, hierarchy.root()),
            Kind::None(_) => false,
        };
        let mut said = settings::discarded(limits, self.controllers(), has_file);
        if let Some(last) = said.last_mut() {
            last.push_str(&format!(" ({})", self.reason()));
        }
        said
    }

    /// Creates the cgroup of container `id` and sets its limits; `None` without a driver. With systemd, this
    /// process moves next to the container's cgroup, into the same scope, and stays there.
    pub fn make(&self, id: &str, limits: &LimitsSpec) -> Result<Option<Cgroup>> {
        let path = match &self.kind {
            Kind::Scope(hierarchy, manager) => manager.make(id, hierarchy, &self.surroundings)?,
            Kind::Directory(_, directory) => directory.make(id)?,
            Kind::None(_) => return Ok(None),
        };
        let cgroup = Cgroup::at(path)?;
        match cgroup.apply(limits) {
            Ok(()) => Ok(Some(cgroup)),
            Err(error) => {
                // The error that counts is the first; at worst, an empty cgroup remains.
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    /// The controllers whose limits can be set.
    pub fn controllers(&self) -> Controllers {
        match &self.kind {
            Kind::Scope(_, manager) => manager.controllers,
            Kind::Directory(_, directory) => directory.controllers,
            Kind::None(_) => Controllers::default(),
        }
    }

    /// What docker calls the driver in `docker info`.
    pub fn driver(&self) -> &'static str {
        match &self.kind {
            Kind::Scope(..) => "systemd",
            Kind::Directory(..) => "cgroupfs",
            Kind::None(_) => "none",
        }
    }

    /// The missing controllers and the command that would add them.
    pub fn lacking(&self) -> Option<String> {
        let had = self.controllers();
        let missing: Vec<_> = Controllers::missing(had).map(Controller::name).collect();
        (!missing.is_empty()).then(|| format!("{}: {}", missing.join(", "), self.reason()))
    }

    fn reason(&self) -> String {
        match &self.kind {
            Kind::Scope(..) => manager_lacks(&self.surroundings),
            Kind::Directory(hierarchy, directory) => directory_lacks(hierarchy, directory),
            Kind::None(reason) => reason.clone(),
        }
    }

    /// Whether the container will belong to the user manager, and hence end with it.
    pub fn is_scope(&self) -> bool {
        matches!(self.kind, Kind::Scope(..))
    }
}

/// docker's rule for the systemd driver; besides, an absolute path names a directory.
fn check_parent(parent: &str) -> Result<(), Failure> {
    let slice = parent.len() > ".slice".len() && parent.ends_with(".slice") && !parent.contains('/');
    if parent.is_empty() || slice || parent.starts_with('/') {
        return Ok(());
    }
    Err(invalid("cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"")
        .hint("or a path from the top of the cgroup file system, of a directory that this account may write"))
}

fn kind(parent: &str, surroundings: &Surroundings) -> Kind {
    let Some(hierarchy) = Hierarchy::find() else {
        return Kind::None("no cgroup file system of version 2 is mounted".into());
    };
    if parent.starts_with('/') {
        return match Directory::named(&hierarchy, Path::new(parent)) {
            Some(directory) => Kind::Directory(hierarchy, directory),
            None => Kind::None(format!("this account may not write the cgroup {parent}")),
        };
    }
    // In a login session, systemd is asked first: the session's own cgroup may be writable, but belongs to
    // systemd.
    let in_session = hierarchy.own.starts_with("/user.slice");
    let slice = Some(parent).filter(|parent| !parent.is_empty());
    let mut refusal = None;
    if in_session || slice.is_some() {
        match Manager::find(&hierarchy, surroundings, slice) {
            Ok(manager) if manager.controllers.count() > 0 => return Kind::Scope(hierarchy, manager),
            Ok(_) => {
                refusal = Some(no_controllers(&hierarchy).unwrap_or_else(|| manager_lacks(surroundings)))
            }
            Err(why) => refusal = Some(no_manager(surroundings, &why.to_string())),
        }
    }
    match Directory::find(&hierarchy) {
        Some(directory) if slice.is_none() => Kind::Directory(hierarchy, directory),
        _ => {
            Kind::None(refusal.or_else(|| no_controllers(&hierarchy)).unwrap_or_else(|| not_ours(&hierarchy)))
        }
    }
}

/// Explains that all controllers are attached to cgroup v1; only another kernel command line can change that.
fn no_controllers(hierarchy: &Hierarchy) -> Option<String> {
    let all = Controllers::read(&hierarchy.root().join("cgroup.controllers"));
    (all.count() == 0).then(|| {
        "the controllers of this machine belong to cgroups of version 1; the kernel parameter \
         `systemd.unified_cgroup_hierarchy=1` changes that"
            .to_owned()
    })
}

fn no_manager(surroundings: &Surroundings, why: &str) -> String {
    let uid = surroundings.uid;
    format!(
        "the user manager of systemd cannot be asked: {why}; `sudo loginctl enable-linger {uid}` starts it"
    )
}

fn manager_lacks(surroundings: &Surroundings) -> String {
    let uid = surroundings.uid;
    format!(
        "the user manager was not given the controllers; `sudo mkdir -p /etc/systemd/system/user@.service.d && \
         printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee \
         /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload && sudo systemctl restart \
         user@{uid}` gives them"
    )
}

fn not_ours(hierarchy: &Hierarchy) -> String {
    let own = hierarchy.own.display();
    let unit =
        hierarchy.own.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".service"));
    match unit {
        Some(unit) => format!(
            "this account may not write the cgroup {own}; `sudo mkdir -p /etc/systemd/system/{unit}.d && \
             printf '[Service]\\nDelegate=yes\\n' | sudo tee /etc/systemd/system/{unit}.d/delegate.conf && \
             sudo systemctl daemon-reload && sudo systemctl restart {unit}` lets it"
        ),
        None => {
            let directory = hierarchy.directory(&hierarchy.own);
            format!(
                "this account may not write the cgroup {own}; `sudo chown $USER {0} {0}/cgroup.procs \
                 {0}/cgroup.subtree_control` lets it",
                directory.display()
            )
        }
    }
}

fn directory_lacks(hierarchy: &Hierarchy, directory: &Directory) -> String {
    no_controllers(hierarchy).unwrap_or_else(|| {
        let parent = directory.path.parent().unwrap_or(&directory.path);
        format!(
            "the cgroup {} was not given the controllers; `echo +cpu +cpuset +io +memory +pids | sudo tee \
             {}/cgroup.subtree_control` gives them",
            directory.path.display(),
            parent.display()
        )
    })
}

/// Validates limits against the machine's CPUs and memory nodes, with docker's error messages.
pub fn check_machine(limits: &LimitsSpec) -> Result<(), Failure> {
    if limits.nano_cpus > 0 {
        let present = usable_processors();
        if limits.nano_cpus > present.saturating_mul(1_000_000_000) {
            return Err(invalid(format!(
                "range of CPUs is from 0.01 to {present}.00, as there are only {present} CPUs available"
            )));
        }
    }
    check_list(&limits.cpuset_cpus, "/sys/devices/system/cpu/online", "CPUs")?;
    check_list(&limits.cpuset_mems, "/sys/devices/system/node/online", "memory nodes")
}

fn usable_processors() -> u64 {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => u64::from(set.count()),
        Err(_) => 1,
    }
}

fn check_list(wanted: &str, file: &str, what: &str) -> Result<(), Failure> {
    if wanted.trim().is_empty() {
        return Ok(());
    }
    // A kernel without NUMA has no such file; it has one node.
    let present = std::fs::read_to_string(file).unwrap_or_else(|_| "0".into());
    let available = parse_list(&present).unwrap_or_default();
    if parse_list(wanted)?.iter().all(|number| available.contains(number)) {
        return Ok(());
    }
    Err(invalid(format!(
        "Requested {what} are not available - requested {}, available: {}",
        wanted.escape_debug(),
        present.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_a_slice_or_a_path() {
        for good in ["", "jobs.slice", "/jobs/mine"] {
            check_parent(good).unwrap();
        }
        for bad in [".slice", "jobs", "a/b.slice"] {
            assert!(check_parent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_machine_has_what_it_has() {
        let of = LimitsSpec::default;
        check_machine(&LimitsSpec { cpuset_cpus: "0".into(), nano_cpus: 500_000_000, ..of() }).unwrap();
        let error =
            check_machine(&LimitsSpec { cpuset_cpus: "0-8000".into(), ..of() }).unwrap_err().to_string();
        assert!(
            error.starts_with("Requested CPUs are not available - requested 0-8000, available: "),
            "{error}"
        );
        let error = check_machine(&LimitsSpec { nano_cpus: u64::MAX, ..of() }).unwrap_err().to_string();
        assert!(error.contains("CPUs available"), "{error}");
    }
}
