//! The cgroup v2 controllers that dhow's limits use, and sets of them.

use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupController {
    /// Memory and swap.
    Memory,
    /// CPU bandwidth and weight.
    Cpu,
    /// Allowed CPUs and memory nodes.
    Cpuset,
    /// Number of processes.
    Pids,
    /// Block device bandwidth and weight.
    Io,
}

const ALL: [CgroupController; 5] = [
    CgroupController::Memory,
    CgroupController::Cpu,
    CgroupController::Cpuset,
    CgroupController::Pids,
    CgroupController::Io,
];

impl CgroupController {
    /// The name in `cgroup.controllers`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerSet(u8);

impl ControllerSet {
    /// The controllers listed in a file such as `cgroup.controllers`; empty if it cannot be read.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut set = Self::default();
        for controller in ALL {
            if text.split_whitespace().any(|name| name == controller.name()) {
                set.insert(controller);
            }
        }
        set
    }

    pub(super) fn insert(&mut self, controller: CgroupController) {
        self.0 |= 1 << controller as u8;
    }

    pub fn has(self, controller: CgroupController) -> bool {
        self.0 & (1 << controller as u8) != 0
    }

    /// The controllers that are not in `available`.
    pub(super) fn missing(available: Self) -> impl Iterator<Item = CgroupController> {
        ALL.into_iter().filter(move |controller| !available.has(*controller))
    }

    pub(super) fn count(self) -> u32 {
        self.0.count_ones()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = CgroupController> {
        ALL.into_iter().filter(move |controller| self.has(*controller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_know_their_members() {
        let set = ControllerSet::parse("cpuset cpu io memory hugetlb\n");
        assert!(
            set.has(CgroupController::Cpu)
                && set.has(CgroupController::Cpuset)
                && !set.has(CgroupController::Pids)
        );
        assert_eq!(set.count(), 4);
        let two = ControllerSet::parse("pids cpu");
        assert_eq!(two.iter().collect::<Vec<_>>(), [CgroupController::Cpu, CgroupController::Pids]);
    }
}
