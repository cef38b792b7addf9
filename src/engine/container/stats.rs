//! `stats`: resource usage of containers, sampled repeatedly for values that are rates.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;

use dhow_error::{FailureKind, kind_of};
use dhow_model::container::NetworkMode;
use dhow_runtime::first_process::{self, FirstProcess};
use dhow_runtime::state::ContainerState;
use dhow_sandbox::cgroup::{Cgroup, ResourceUsage};
use dhow_sandbox::proc_usage;
use dhow_sandbox::processes::pids_inside_each;
use dhow_store::{ContainerDir, ScannedContainer, Store};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatsSample {
    /// The container as named on the command line, else its short ID.
    pub container: String,
    /// Empty if it is gone.
    pub id: String,
    pub name: String,
    /// Whether it exists; otherwise the other fields mean nothing.
    pub valid: bool,
    /// Percent of one CPU since the last sample.
    pub cpu: f64,
    /// Bytes.
    pub memory: u64,
    /// Bytes that it may use; 0 if it does not run.
    pub memory_limit: u64,
    /// Bytes from the network.
    pub received: u64,
    /// Bytes to the network.
    pub sent: u64,
    /// Bytes from block devices.
    pub read: u64,
    /// Bytes to block devices.
    pub written: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl StatsSample {
    /// Percent of the memory limit.
    pub fn memory_share(&self) -> f64 {
        if self.memory_limit == 0 { 0.0 } else { self.memory as f64 / self.memory_limit as f64 * 100.0 }
    }
}

/// Samples the usage of containers repeatedly.
pub struct StatsSampler<'a> {
    store: &'a Store,
    /// The containers asked for; empty for all.
    requested: Vec<String>,
    /// Also those that do not run.
    all: bool,
    /// Time and CPU time (microseconds) of the last sample, by container ID.
    previous: HashMap<String, (Instant, u64)>,
    /// Bytes of memory of the machine.
    memory: u64,
}

impl<'a> StatsSampler<'a> {
    /// Samples the containers `requested`; if there are none, the running ones, or with `all` all. An error
    /// of kind `NotFound` if one does not exist.
    pub fn new(store: &'a Store, requested: Vec<String>, all: bool) -> Result<Self> {
        for text in &requested {
            store.find_container(text)?;
        }
        let memory =
            dhow_sys::memory::total_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
        Ok(Self { store, requested, all, previous: HashMap::new(), memory })
    }

    /// Takes a sample of what rates are differences to, and of nothing else: to count memory takes long.
    pub fn start(&mut self) -> Result<()> {
        let subjects = self.subjects()?;
        for (subject, pids) in subjects.iter().zip(processes_to_count(&subjects)?) {
            if let (Some(container), Some(running)) = (&subject.container, &subject.running) {
                self.cpu_share(&container.spec().id, running.cpu(&pids));
            }
        }
        Ok(())
    }

    /// Takes a sample. `None` once all containers that were asked for by name are gone.
    pub fn measure(&mut self) -> Result<Option<Vec<StatsSample>>> {
        let subjects = self.subjects()?;
        if !self.requested.is_empty() && subjects.iter().all(|subject| subject.container.is_none()) {
            return Ok(None);
        }
        let pids = processes_to_count(&subjects)?;
        let sample = |(subject, pids): (&StatsSubject, Vec<i32>)| self.sample(subject, &pids);
        Ok(Some(subjects.iter().zip(pids).map(sample).collect()))
    }

    /// The containers to sample, in the order in which they are shown.
    fn subjects(&self) -> Result<Vec<StatsSubject>> {
        if !self.requested.is_empty() {
            return self.requested.iter().map(|text| StatsSubject::requested(self.store, text)).collect();
        }
        let scanned = self.store.scan_containers(self.all, ContainerState::may_run)?;
        let mut chosen: Vec<_> = scanned.into_iter().filter(|one| self.all || one.locked).collect();
        // The newest first, as in listings.
        chosen.sort_by(|a, b| b.dir.spec().created.cmp(&a.dir.spec().created));
        let subject = |one: ScannedContainer<ContainerState>| {
            let shown = one.dir.spec().short_id().to_owned();
            if one.locked {
                StatsSubject::new(shown, one.dir)
            } else {
                Ok(StatsSubject::idle(shown, one.dir))
            }
        };
        chosen.into_iter().map(subject).collect()
    }

    /// `pids` are the processes whose usage is summed up.
    fn sample(&mut self, subject: &StatsSubject, pids: &[i32]) -> StatsSample {
        let Some(container) = &subject.container else {
            return StatsSample { container: subject.shown.clone(), ..StatsSample::default() };
        };
        let spec = container.spec();
        let idle = StatsSample {
            container: subject.shown.clone(),
            id: spec.id.clone(),
            name: spec.name.clone(),
            valid: true,
            ..StatsSample::default()
        };
        let Some(running) = &subject.running else { return idle };
        let usage = running.usage(pids);
        // The counters of the host's namespace are the host's, not the container's.
        let on_host = spec.namespaces.network == Some(NetworkMode::Host);
        let (received, sent) = if on_host { (0, 0) } else { proc_usage::network_bytes(running.first.pid()) };
        // A limit above the machine's memory is no limit; docker shows the machine's memory then.
        let limit = usage.memory_limit.filter(|limit| *limit < self.memory);
        StatsSample {
            cpu: self.cpu_share(&spec.id, usage.cpu.unwrap_or_default()),
            memory: usage.memory.unwrap_or_default(),
            memory_limit: limit.unwrap_or(self.memory),
            received,
            sent,
            read: usage.read.unwrap_or_default(),
            written: usage.written.unwrap_or_default(),
            pids: usage.pids.unwrap_or_default(),
            ..idle
        }
    }

    /// Percent of one CPU since the last sample.
    fn cpu_share(&mut self, id: &str, cpu: u64) -> f64 {
        let now = Instant::now();
        let Some((sampled, cpu_before)) = self.previous.insert(id.to_owned(), (now, cpu)) else { return 0.0 };
        let passed = now.duration_since(sampled).as_micros();
        // A container that was restarted counts from zero again.
        if passed == 0 { 0.0 } else { cpu.saturating_sub(cpu_before) as f64 / passed as f64 * 100.0 }
    }
}

/// A container to sample.
struct StatsSubject {
    /// As named on the command line, else its short ID.
    shown: String,
    /// `None` if it is gone.
    container: Option<ContainerDir>,
    /// `None` if it does not run.
    running: Option<RunningContainer>,
}

impl StatsSubject {
    fn new(shown: String, container: ContainerDir) -> Result<Self> {
        let running = match first_process::find(&container)? {
            Some(first) => {
                let cgroup = Cgroup::of_process(first.pid(), &container.spec().id)?;
                Some(RunningContainer { first, cgroup })
            }
            None => None,
        };
        Ok(Self { running, ..Self::idle(shown, container) })
    }

    fn idle(shown: String, container: ContainerDir) -> Self {
        Self { shown, container: Some(container), running: None }
    }

    fn requested(store: &Store, text: &str) -> Result<Self> {
        match store.find_container(text) {
            Ok(container) => Self::new(text.to_owned(), container),
            Err(error) if kind_of(&error) == FailureKind::NotFound => {
                Ok(Self { shown: text.to_owned(), container: None, running: None })
            }
            Err(error) => Err(error),
        }
    }
}

struct RunningContainer {
    first: FirstProcess,
    /// `None` if it has none of its own.
    cgroup: Option<Cgroup>,
}

impl RunningContainer {
    /// Microseconds of CPU time, by its cgroup or else summed over the processes `pids`.
    fn cpu(&self, pids: &[i32]) -> u64 {
        let counted = self.cgroup.as_ref().and_then(|cgroup| cgroup.usage().cpu);
        counted.unwrap_or_else(|| proc_usage::cpu_of_processes(pids))
    }

    /// From its cgroup; what that does not count, for it counts only what its controllers measure, or everything
    /// without a cgroup, is summed over the processes `pids`.
    fn usage(&self, pids: &[i32]) -> ResourceUsage {
        let counted = self.cgroup.as_ref().map(Cgroup::usage).unwrap_or_default();
        if is_complete(&counted) {
            return counted;
        }
        let summed = proc_usage::usage_of_processes(pids);
        ResourceUsage {
            cpu: counted.cpu.or(summed.cpu),
            memory: counted.memory.or(summed.memory),
            // Limits are only in cgroups.
            memory_limit: counted.memory_limit,
            pids: counted.pids.or(summed.pids),
            read: counted.read.or(summed.read),
            written: counted.written.or(summed.written),
        }
    }
}

fn is_complete(usage: &ResourceUsage) -> bool {
    usage.memory.is_some() && usage.cpu.is_some() && usage.pids.is_some() && usage.read.is_some()
}

/// For each of `subjects` the processes that its cgroup does not account for. One pass through /proc finds those of all:
/// with a pass for each, the time would grow with the square of the number of containers.
fn processes_to_count(subjects: &[StatsSubject]) -> Result<Vec<Vec<i32>>> {
    let mut pids = vec![Vec::new(); subjects.len()];
    let (mut positions, mut firsts) = (Vec::new(), Vec::new());
    for (position, StatsSubject { container, running, .. }) in subjects.iter().enumerate() {
        if let (Some(container), Some(running)) = (container, running)
            && !running.cgroup.as_ref().is_some_and(|cgroup| is_complete(&cgroup.usage()))
        {
            positions.push(position);
            firsts.push((running.first.pid(), first_process::boundary(container.spec())));
        }
    }
    for (position, found) in positions.into_iter().zip(pids_inside_each(&firsts)?) {
        pids[position] = found;
    }
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_model::container::ContainerSpec;
    use dhow_store::new_container_id;
    use dhow_store::scratch::store;

    #[test]
    fn one_that_does_not_run_uses_nothing() {
        let (_dir, store) = store();
        let spec =
            ContainerSpec { id: new_container_id().unwrap(), name: "web".into(), ..Default::default() };
        drop(store.create_container(&spec).unwrap());
        let none = StatsSampler::new(&store, vec![], false).unwrap().measure().unwrap().unwrap();
        assert!(none.is_empty());
        let all = StatsSampler::new(&store, vec![], true).unwrap().measure().unwrap().unwrap();
        assert_eq!((all.len(), all[0].name.as_str(), all[0].memory_limit), (1, "web", 0));
        let mut named = StatsSampler::new(&store, vec!["web".into()], false).unwrap();
        assert_eq!(named.measure().unwrap().unwrap()[0].container, "web");
        store.remove_container(store.find_container("web").unwrap().lock().unwrap().unwrap()).unwrap();
        assert_eq!(named.measure().unwrap(), None);
        assert!(StatsSampler::new(&store, vec!["web".into()], false).is_err());
    }

    #[test]
    fn shares_are_of_one_processor() {
        let (_dir, store) = store();
        let mut meter = StatsSampler::new(&store, vec![], true).unwrap();
        assert_eq!(meter.cpu_share("a", 500), 0.0);
        let second = Instant::now().checked_sub(std::time::Duration::from_secs(2)).unwrap();
        meter.previous.insert("a".into(), (second, 500));
        let share = meter.cpu_share("a", 1_000_500);
        assert!((40.0..=50.0).contains(&share), "{share}");
        let half = StatsSample { memory: 1, memory_limit: 2, ..StatsSample::default() };
        assert_eq!(half.memory_share(), 50.0);
    }
}
