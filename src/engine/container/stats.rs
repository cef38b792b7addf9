//! `stats`: resource usage of containers, sampled repeatedly for values that are rates.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;

use dhow_error::{FailureKind, kind_of};
use dhow_model::container::{ContainerSpec, NetworkMode};
use dhow_runtime::first_process;
use dhow_sandbox::cgroup::{Cgroup, ResourceUsage};
use dhow_sandbox::proc_usage;
use dhow_sandbox::processes::pids_inside;
use dhow_store::{ContainerDir, Store};

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

    /// Takes a sample. `None` once all containers that were asked for by name are gone.
    pub fn measure(&mut self) -> Result<Option<Vec<StatsSample>>> {
        let mut stats = Vec::new();
        if self.requested.is_empty() {
            for container in self.store.containers()? {
                if self.all || container.is_locked()? {
                    let short = container.spec().short_id().to_owned();
                    stats.extend(self.sample_container(short, &container)?);
                }
            }
            // The newest first, as in listings.
            stats.sort_by(|a, b| a.0.cmp(&b.0).reverse());
            return Ok(Some(stats.into_iter().map(|(_, stats)| stats).collect()));
        }
        let mut gone = 0;
        for text in self.requested.clone() {
            match self.store.find_container(&text) {
                Ok(container) => stats.extend(self.sample_container(text, &container)?),
                Err(error) if kind_of(&error) == FailureKind::NotFound => {
                    gone += 1;
                    stats.push((String::new(), StatsSample { container: text, ..StatsSample::default() }));
                }
                Err(error) => return Err(error),
            }
        }
        let any_left = gone < self.requested.len();
        Ok(any_left.then(|| stats.into_iter().map(|(_, stats)| stats).collect()))
    }

    /// The creation time, by which containers are sorted, and the sample.
    fn sample_container(
        &mut self,
        display_name: String,
        container: &ContainerDir,
    ) -> Result<Option<(String, StatsSample)>> {
        let spec = container.spec();
        let idle = StatsSample {
            container: display_name,
            id: spec.id.clone(),
            name: spec.name.clone(),
            valid: true,
            ..StatsSample::default()
        };
        let stats = match first_process::find(container)? {
            Some(first) => self.sample_running(spec, first.pid(), idle)?,
            None => idle,
        };
        Ok(Some((spec.created.clone(), stats)))
    }

    fn sample_running(&mut self, spec: &ContainerSpec, first: i32, idle: StatsSample) -> Result<StatsSample> {
        let usage = usage(spec, first)?;
        // The counters of the host's namespace are the host's, not the container's.
        let on_host = spec.namespaces.network == Some(NetworkMode::Host);
        let (received, sent) = if on_host { (0, 0) } else { proc_usage::network_bytes(first) };
        // A limit above the machine's memory is no limit; docker shows the machine's memory then.
        let limit = usage.memory_limit.filter(|limit| *limit < self.memory);
        Ok(StatsSample {
            cpu: self.cpu_share(&spec.id, usage.cpu.unwrap_or_default()),
            memory: usage.memory.unwrap_or_default(),
            memory_limit: limit.unwrap_or(self.memory),
            received,
            sent,
            read: usage.read.unwrap_or_default(),
            written: usage.written.unwrap_or_default(),
            pids: usage.pids.unwrap_or_default(),
            ..idle
        })
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

/// From its cgroup; whatever that does not count, or everything without a cgroup, is summed over its
/// processes.
fn usage(spec: &ContainerSpec, first: i32) -> Result<ResourceUsage> {
    let counted = Cgroup::of_process(first, &spec.id)?.map(|cgroup| cgroup.usage()).unwrap_or_default();
    // A cgroup counts only what its controllers measure.
    let complete =
        counted.memory.is_some() && counted.cpu.is_some() && counted.pids.is_some() && counted.read.is_some();
    if complete {
        return Ok(counted);
    }
    let summed = proc_usage::usage_of_processes(&pids_inside(first, first_process::boundary(spec))?);
    Ok(ResourceUsage {
        cpu: counted.cpu.or(summed.cpu),
        memory: counted.memory.or(summed.memory),
        // Limits are only in cgroups.
        memory_limit: counted.memory_limit,
        pids: counted.pids.or(summed.pids),
        read: counted.read.or(summed.read),
        written: counted.written.or(summed.written),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
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
