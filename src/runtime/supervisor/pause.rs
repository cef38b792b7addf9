//! Pausing and unpausing a container, and applying a changed specification.

use anyhow::Result;

use super::ContainerSupervisor;
use super::container_run::ContainerRun;
use super::health::HealthMonitor;
use dhow_error::{Failure, FailureKind};

impl ContainerSupervisor {
    pub(super) fn pause(&mut self, run: &mut ContainerRun) -> Result<()> {
        if self.state.paused {
            return Err(self.conflict("is already paused").into());
        }
        run.freeze()?;
        if let Some(checks) = &mut run.health {
            checks.suspend()?;
            self.state.health = Some(checks.health().clone());
        }
        let paused = self.set_paused(true);
        if paused.is_err() {
            // The disk is full. Whoever is told that pausing failed will not think of unpausing.
            self.state.paused = false;
            run.thaw()?;
            run.health.iter_mut().for_each(HealthMonitor::resume);
        }
        paused
    }

    pub(super) fn unpause(&mut self, run: &mut ContainerRun) -> Result<()> {
        if !self.state.paused {
            return Err(self.conflict("is not paused").into());
        }
        run.thaw()?;
        run.health.iter_mut().for_each(HealthMonitor::resume);
        self.set_paused(false)
    }

    /// Applies the specification that a command has changed on disk.
    pub(super) fn apply_changed_spec(&mut self, run: &mut ContainerRun) -> Result<()> {
        self.container.reload()?;
        // `rename` and `update` both end here; each part finds out whether it has something to do.
        self.rename_on_networks()?;
        run.apply_limits(self.container.spec(), &self.session)?;
        if self.state.cgroup != run.process.cgroup_path() {
            self.state.cgroup = run.process.cgroup_path();
            self.container.write_state(&self.state)?;
        }
        Ok(())
    }

    fn set_paused(&mut self, paused: bool) -> Result<()> {
        self.state.paused = paused;
        self.container.write_state(&self.state)?;
        self.record_event(if paused { "pause" } else { "unpause" }, &[]);
        Ok(())
    }

    fn conflict(&self, problem: &str) -> Failure {
        Failure::new(FailureKind::Conflict, format!("Container {} {problem}", self.container.spec().name))
    }
}
