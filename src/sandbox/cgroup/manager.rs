//! Detects how a container's cgroup can be created, which limits will have no effect, and what would change
//! that.

use std::path::Path;

use anyhow::Result;

use super::cgroupfs::DelegatedDir;
use super::controller::{CgroupController, ControllerSet};
use super::hierarchy::CgroupHierarchy;
use super::session::SessionInfo;
use super::systemd::SystemdManager;
use super::{Cgroup, settings};
use dhow_error::{Failure, invalid};
use dhow_model::limits::{LimitsSpec, parse_list};

/// Creates the cgroup of a container with the driver that works here.
#[derive(Clone, Debug)]
pub struct CgroupManager {
    session: SessionInfo,
    driver: CgroupDriver,
}

#[derive(Clone, Debug)]
enum CgroupDriver {
    /// A scope of systemd's user manager.
    Scope(CgroupHierarchy, SystemdManager),
    /// Below a directory delegated to this account.
    Directory(CgroupHierarchy, DelegatedDir),
    /// Unavailable: the reason, and the command that would change it.
    None(String),
}

impl CgroupManager {
    /// Detects the driver; changes nothing. `parent` is the value of `--cgroup-parent`, or empty.
    pub fn detect(parent: &str, session: SessionInfo) -> Result<Self, Failure> {
        check_parent(parent)?;
        let driver = detect_driver(parent, &session);
        Ok(Self { session, driver })
    }

    /// Why no driver is available, and the command that would change it.
    pub fn unavailable_reason(&self) -> Option<&str> {
        if let CgroupDriver::None(reason) = &self.driver { Some(reason) } else { None }
    }

    /// docker's warnings for those of `limits` that will have no effect; reason and remedy follow the last
    /// one.
    pub fn discarded_limits(&self, limits: &LimitsSpec) -> Vec<String> {
        let has_file = |name: &str| match &self.driver {
            CgroupDriver::Scope(_, manager) => manager.directory.join(name).exists(),
            CgroupDriver::Directory(hierarchy, directory) => directory.has_file(name, hierarchy.root()),
            CgroupDriver::None(_) => false,
        };
        let mut warnings = settings::discarded_limits(limits, self.controllers(), has_file);
        if let Some(last) = warnings.last_mut() {
            last.push_str(&format!(" ({})", self.reason()));
        }
        warnings
    }

    /// Creates the cgroup of container `id` and sets its limits; `None` without a driver. With systemd, this
    /// process moves next to the container's cgroup, into the same scope, and stays there.
    pub fn create(&self, id: &str, limits: &LimitsSpec) -> Result<Option<Cgroup>> {
        let path = match &self.driver {
            CgroupDriver::Scope(hierarchy, manager) => manager.create_cgroup(id, hierarchy, &self.session)?,
            CgroupDriver::Directory(_, directory) => directory.create_cgroup(id)?,
            CgroupDriver::None(_) => return Ok(None),
        };
        let cgroup = Cgroup::open_at(path)?;
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
    pub fn controllers(&self) -> ControllerSet {
        match &self.driver {
            CgroupDriver::Scope(_, manager) => manager.controllers,
            CgroupDriver::Directory(_, directory) => directory.controllers,
            CgroupDriver::None(_) => ControllerSet::default(),
        }
    }

    /// What docker calls the driver in `docker info`.
    pub fn driver_name(&self) -> &'static str {
        match &self.driver {
            CgroupDriver::Scope(..) => "systemd",
            CgroupDriver::Directory(..) => "cgroupfs",
            CgroupDriver::None(_) => "none",
        }
    }

    /// The missing controllers and the command that would add them.
    pub fn missing_controllers(&self) -> Option<String> {
        let available = self.controllers();
        let missing: Vec<_> = ControllerSet::missing(available).map(CgroupController::name).collect();
        (!missing.is_empty()).then(|| format!("{}: {}", missing.join(", "), self.reason()))
    }

    fn reason(&self) -> String {
        match &self.driver {
            CgroupDriver::Scope(..) => explain_manager_controllers(&self.session),
            CgroupDriver::Directory(hierarchy, directory) => explain_dir_controllers(hierarchy, directory),
            CgroupDriver::None(reason) => reason.clone(),
        }
    }

    /// Whether the container will belong to the user manager, and hence end with it.
    pub fn is_scope(&self) -> bool {
        matches!(self.driver, CgroupDriver::Scope(..))
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

fn detect_driver(parent: &str, session: &SessionInfo) -> CgroupDriver {
    let Some(hierarchy) = CgroupHierarchy::find() else {
        return CgroupDriver::None("no cgroup file system of version 2 is mounted".into());
    };
    if parent.starts_with('/') {
        return match DelegatedDir::at_path(&hierarchy, Path::new(parent)) {
            Some(directory) => CgroupDriver::Directory(hierarchy, directory),
            None => CgroupDriver::None(format!("this account may not write the cgroup {parent}")),
        };
    }
    // In a login session, systemd is asked first: the session's own cgroup may be writable, but belongs to
    // systemd.
    let in_session = hierarchy.own.starts_with("/user.slice");
    // A slice means something to systemd only, so it is asked for one from outside of sessions too.
    let slice = Some(parent).filter(|parent| !parent.is_empty());
    let mut refusal = None;
    if in_session || slice.is_some() {
        match SystemdManager::find(&hierarchy, session, slice) {
            Ok(manager) if manager.controllers.count() > 0 => return CgroupDriver::Scope(hierarchy, manager),
            Ok(_) => {
                refusal = Some(
                    explain_v1_controllers(&hierarchy)
                        .unwrap_or_else(|| explain_manager_controllers(session)),
                )
            }
            Err(error) => refusal = Some(explain_no_manager(session, &error.to_string())),
        }
    }
    match DelegatedDir::find(&hierarchy) {
        Some(directory) if slice.is_none() => CgroupDriver::Directory(hierarchy, directory),
        _ => CgroupDriver::None(
            refusal
                .or_else(|| explain_v1_controllers(&hierarchy))
                .unwrap_or_else(|| explain_not_writable(&hierarchy)),
        ),
    }
}

/// Explains that all controllers are attached to cgroup v1; only another kernel command line can change that.
fn explain_v1_controllers(hierarchy: &CgroupHierarchy) -> Option<String> {
    let controllers = ControllerSet::read(&hierarchy.root().join("cgroup.controllers"));
    (controllers.count() == 0).then(|| {
        "the controllers of this machine belong to cgroups of version 1; the kernel parameter \
         `systemd.unified_cgroup_hierarchy=1` changes that"
            .to_owned()
    })
}

fn explain_no_manager(session: &SessionInfo, reason: &str) -> String {
    let uid = session.uid;
    format!(
        "the user manager of systemd cannot be asked: {reason}; `sudo loginctl enable-linger {uid}` starts it"
    )
}

fn explain_manager_controllers(session: &SessionInfo) -> String {
    let uid = session.uid;
    format!(
        "the user manager was not given the controllers; `sudo mkdir -p /etc/systemd/system/user@.service.d && \
         printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee \
         /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload && sudo systemctl restart \
         user@{uid}` gives them"
    )
}

fn explain_not_writable(hierarchy: &CgroupHierarchy) -> String {
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

fn explain_dir_controllers(hierarchy: &CgroupHierarchy, directory: &DelegatedDir) -> String {
    explain_v1_controllers(hierarchy).unwrap_or_else(|| {
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
pub fn check_host_resources(limits: &LimitsSpec) -> Result<(), Failure> {
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
    // As docker: the processors that this process may use, not all that are online.
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => u64::from(set.count()),
        Err(_) => 1,
    }
}

fn check_list(list: &str, file: &str, kind: &str) -> Result<(), Failure> {
    if list.trim().is_empty() {
        return Ok(());
    }
    // A kernel without NUMA has no such file; it has one node.
    let present = std::fs::read_to_string(file).unwrap_or_else(|_| "0".into());
    let available = parse_list(&present).unwrap_or_default();
    if parse_list(list)?.iter().all(|number| available.contains(number)) {
        return Ok(());
    }
    Err(invalid(format!(
        "Requested {kind} are not available - requested {}, available: {}",
        list.escape_debug(),
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
        check_host_resources(&LimitsSpec { cpuset_cpus: "0".into(), nano_cpus: 500_000_000, ..of() })
            .unwrap();
        let error = check_host_resources(&LimitsSpec { cpuset_cpus: "0-8000".into(), ..of() })
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("Requested CPUs are not available - requested 0-8000, available: "),
            "{error}"
        );
        let error =
            check_host_resources(&LimitsSpec { nano_cpus: u64::MAX, ..of() }).unwrap_err().to_string();
        assert!(error.contains("CPUs available"), "{error}");
    }
}
