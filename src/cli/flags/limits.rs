//! Flags that limit the resources of a container.

use clap::Args;

use crate::frame::command::CommandContext;
use crate::frame::report;
use dhow_error::{Failure, invalid, unsupported};
use dhow_model::bytes;
use dhow_model::container::ContainerSpec;
use dhow_model::limits::{
    DeviceRate, DeviceWeight, LimitsSpec, check_device_rule, parse_cpus, parse_iops, parse_swap,
};

/// The limits that can be changed while a container runs.
#[derive(Args)]
pub(crate) struct UpdatableLimitFlags {
    /// Weight of disk access against others, 10 to 1000, or 0 for none
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Microseconds of a period of the processor scheduler
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of processor time in each period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// Period of real-time scheduling: control groups of version 2 have none
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<i64>,
    /// Processor time for real-time scheduling: control groups of version 2 have none
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_runtime: Option<i64>,
    /// Weight of processor time against others, 1024 being the usual one
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<i64>,
    /// Number of processors, with a fraction
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus)]
    cpus: Option<u64>,
    /// Processors that may be used, as in 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that may be used, as in 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory of the kernel: control groups of version 2 count it with the rest
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse, hide = true)]
    kernel_memory: Option<u64>,
    /// Memory
    #[arg(short, long, value_name = "SIZE", value_parser = bytes::parse)]
    memory: Option<u64>,
    /// Memory that is left to the container when memory gets scarce
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    memory_reservation: Option<u64>,
    /// Memory and swap space together, or -1 for as much swap space as there is
    #[arg(long, value_name = "SIZE", value_parser = parse_swap)]
    memory_swap: Option<i64>,
    /// Number of processes and threads, or -1 for no limit
    #[arg(long, value_name = "NUMBER")]
    pids_limit: Option<i64>,
}

impl UpdatableLimitFlags {
    /// Whether any of them was given, even with a value that sets no limit.
    pub(crate) fn any_given(&self) -> bool {
        let numbers = [self.cpu_quota, self.cpu_rt_period, self.cpu_rt_runtime, self.cpu_shares];
        let signed = [self.memory_swap, self.pids_limit].iter().chain(&numbers).any(Option::is_some);
        let sizes = [self.cpu_period, self.cpus, self.kernel_memory, self.memory, self.memory_reservation];
        let lists = [&self.cpuset_cpus, &self.cpuset_mems].iter().any(|list| list.is_some());
        signed || lists || sizes.iter().any(Option::is_some) || self.blkio_weight.is_some()
    }

    /// The limits, and docker's warnings about those that cgroup v2 does not have.
    pub(crate) fn into_limits(self) -> Result<(LimitsSpec, Vec<&'static str>), Failure> {
        let given = |number: Option<i64>| number.is_some_and(|number| number != 0);
        if given(self.cpu_rt_period) || given(self.cpu_rt_runtime) {
            return Err(unsupported("kernel does not support CPU real-time scheduler"));
        }
        let shares = self.cpu_shares.unwrap_or_default();
        let cpu_shares = u64::try_from(shares).map_err(|_| {
            invalid(format!("invalid CPU shares ({shares}): value must be a positive integer"))
        })?;
        let mut warnings = Vec::new();
        // As docker does, what the kernel cannot do is discarded with a warning.
        if self.kernel_memory.is_some_and(|size| size > 0) {
            warnings.push("Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
        }
        let limits = LimitsSpec {
            memory: self.memory.unwrap_or_default(),
            memory_swap: self.memory_swap.unwrap_or_default(),
            memory_reservation: self.memory_reservation.unwrap_or_default(),
            nano_cpus: self.cpus.unwrap_or_default(),
            cpu_period: self.cpu_period.unwrap_or_default(),
            cpu_quota: self.cpu_quota.unwrap_or_default(),
            cpu_shares,
            cpuset_cpus: self.cpuset_cpus.unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.unwrap_or_default(),
            pids: self.pids_limit.filter(|limit| *limit != 0),
            blkio_weight: self.blkio_weight.unwrap_or_default(),
            ..LimitsSpec::default()
        };
        Ok((limits, warnings))
    }
}

/// All limits.
#[derive(Args)]
pub(crate) struct LimitFlags {
    #[command(flatten)]
    changeable: UpdatableLimitFlags,
    /// Weight of access to one disk, PATH:WEIGHT
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight_device: Vec<DeviceWeight>,
    /// Slice of systemd, or directory of delegated control groups, to put the container's own below
    #[arg(long, value_name = "PARENT", default_value = "", hide_default_value = true)]
    cgroup_parent: String,
    /// Processors: for Windows only
    #[arg(long, value_name = "NUMBER", hide = true)]
    cpu_count: Option<i64>,
    /// Share of the processors: for Windows only
    #[arg(long, value_name = "PERCENT", hide = true)]
    cpu_percent: Option<i64>,
    /// Rule for a group of devices: only root can set one
    #[arg(long, value_name = "RULE", value_parser = check_device_rule)]
    device_cgroup_rule: Vec<String>,
    /// Bytes read from a device each second, PATH:SIZE
    #[arg(long, value_name = "RATE")]
    device_read_bps: Vec<DeviceRate>,
    /// Reads of a device each second, PATH:NUMBER
    #[arg(long, value_name = "RATE", value_parser = parse_iops)]
    device_read_iops: Vec<DeviceRate>,
    /// Bytes written to a device each second, PATH:SIZE
    #[arg(long, value_name = "RATE")]
    device_write_bps: Vec<DeviceRate>,
    /// Writes to a device each second, PATH:NUMBER
    #[arg(long, value_name = "RATE", value_parser = parse_iops)]
    device_write_iops: Vec<DeviceRate>,
    /// Rate of disk access: for Windows only
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse, hide = true)]
    io_maxbandwidth: Option<u64>,
    /// Number of disk accesses: for Windows only
    #[arg(long, value_name = "NUMBER", hide = true)]
    io_maxiops: Option<u64>,
    /// Readiness to swap: control groups of version 2 have none of their own
    #[arg(long, value_name = "NUMBER", default_value = "-1", hide_default_value = true)]
    memory_swappiness: i64,
    /// Do not kill when memory runs out: control groups of version 2 cannot
    #[arg(long)]
    oom_kill_disable: bool,
}

impl LimitFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec, context: &CommandContext) -> anyhow::Result<()> {
        self.refuse_windows()?;
        let mut discarded = Vec::new();
        // -1 leaves the setting to the kernel.
        if self.memory_swappiness != -1 {
            if !(0..=100).contains(&self.memory_swappiness) {
                let message = "Valid memory swappiness range is 0-100";
                return Err(invalid(format!("invalid value: {}. {message}", self.memory_swappiness)).into());
            }
            discarded.push("Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.");
        }
        if self.oom_kill_disable {
            discarded.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        }
        if !self.device_cgroup_rule.is_empty() {
            discarded.push("--device-cgroup-rule: only root can set rules for devices; the rights of the nodes themselves hold. Rule discarded.");
        }
        let (limits, warnings) = self.changeable.into_limits()?;
        let mut limits = LimitsSpec {
            blkio_weight_device: self.blkio_weight_device,
            read_bps: self.device_read_bps,
            write_bps: self.device_write_bps,
            read_iops: self.device_read_iops,
            write_iops: self.device_write_iops,
            ..limits
        };
        limits.check()?;
        limits.complete();
        // Only now, so that a refused command prints nothing but its error.
        for warning in discarded.iter().chain(&warnings) {
            report::warn(context, warning);
        }
        spec.limits = limits;
        spec.cgroup_parent = self.cgroup_parent;
        Ok(())
    }

    /// docker's error for flags that exist on Windows only.
    fn refuse_windows(&self) -> Result<(), Failure> {
        let given = [
            ("cpu-count", self.cpu_count.is_some()),
            ("cpu-percent", self.cpu_percent.is_some()),
            ("io-maxbandwidth", self.io_maxbandwidth.is_some()),
            ("io-maxiops", self.io_maxiops.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(unsupported(format!(
                "\"--{name}\" is only supported on a Docker daemon running on windows, but the Docker daemon is \
                 running on linux"
            ))),
            None => Ok(()),
        }
    }
}
