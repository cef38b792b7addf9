//! Translates limits into cgroup v2 files and values. Pure, but for looking up device numbers.

use std::io;

use rustix::fs::{FileType, major, minor, stat};

use super::controller::{CgroupController, ControllerSet};
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::limits::{DeviceRate, LimitsSpec};

/// A value to be written to a cgroup file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CgroupSetting {
    pub(super) controller: CgroupController,
    /// The file's name, or alternatives, to be tried in order.
    pub(super) files: &'static [&'static str],
    /// One value per name.
    pub(super) values: Vec<String>,
    /// docker's warning if there is no such file.
    pub(super) missing: &'static str,
}

const NO_MEMORY: &str = "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.";
const NO_SWAP: &str = "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.";
const NO_RESERVATION: &str = "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.";
const NO_PIDS: &str = "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.";
const NO_SHARES: &str =
    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.";
const NO_BANDWIDTH: &str = "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.";
const NO_CPUSET: &str = "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.";
const NO_WEIGHT: &str =
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.";
const NO_WEIGHT_DEVICE: &str = "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.";
const NO_READ_BPS: &str = "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.";
const NO_WRITE_BPS: &str = "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.";
const NO_READ_IOPS: &str = "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.";
const NO_WRITE_IOPS: &str = "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.";

/// The settings for `limits`. An error if a device named in them is no block device.
pub(super) fn settings_for(limits: &LimitsSpec) -> Result<Vec<CgroupSetting>, Failure> {
    let mut settings = Vec::new();
    memory(limits, &mut settings);
    cpu(limits, &mut settings);
    if let Some(limit) = limits.pids {
        // docker takes both 0 and -1 for unlimited.
        let value = if limit > 0 { limit.to_string() } else { "max".into() };
        settings.push(setting(CgroupController::Pids, &["pids.max"], value, NO_PIDS));
    }
    disks(limits, &mut settings)?;
    Ok(settings)
}

/// docker's warnings for those of `limits` that have no effect with only these controllers, each once.
pub(super) fn discarded_limits(
    limits: &LimitsSpec,
    available: ControllerSet,
    has_file: impl Fn(&str) -> bool,
) -> Vec<String> {
    let without_devices = LimitsSpec {
        blkio_weight_device: Vec::new(),
        read_bps: Vec::new(),
        write_bps: Vec::new(),
        read_iops: Vec::new(),
        write_iops: Vec::new(),
        ..limits.clone()
    };
    // Cannot fail without device paths.
    let mut settings = settings_for(&without_devices).unwrap_or_default();
    for (rates, missing) in device_rates(limits) {
        if !rates.is_empty() {
            settings.push(setting(CgroupController::Io, &["io.max"], String::new(), missing));
        }
    }
    if !limits.blkio_weight_device.is_empty() {
        settings.push(CgroupSetting { missing: NO_WEIGHT_DEVICE, ..weight(0, "") });
    }
    let memory = available.has(CgroupController::Memory);
    let mut warnings: Vec<String> = Vec::new();
    for setting in settings {
        let works = available.has(setting.controller) && setting.files.iter().any(|file| has_file(file));
        // Without the memory controller, docker warns about memory only, not about swap too.
        let implied = setting.missing == NO_SWAP && !memory && limits.memory > 0;
        let unlimited = setting.values.iter().all(|value| value == "max");
        if !works && !implied && !unlimited && !warnings.iter().any(|text| text == setting.missing) {
            warnings.push(setting.missing.to_owned());
        }
    }
    warnings
}

fn setting(
    controller: CgroupController,
    files: &'static [&'static str],
    value: String,
    missing: &'static str,
) -> CgroupSetting {
    CgroupSetting { controller, files, values: vec![value], missing }
}

fn memory(limits: &LimitsSpec, settings: &mut Vec<CgroupSetting>) {
    let mut add = |file: &'static [&'static str], value: String, missing| {
        settings.push(setting(CgroupController::Memory, file, value, missing));
    };
    if limits.memory > 0 {
        add(&["memory.max"], limits.memory.to_string(), NO_MEMORY);
    }
    // docker's value includes memory, the kernel's is swap alone.
    match u64::try_from(limits.memory_swap) {
        Err(_) => add(&["memory.swap.max"], "max".into(), NO_SWAP),
        Ok(0) => {}
        Ok(total) => add(&["memory.swap.max"], total.saturating_sub(limits.memory).to_string(), NO_SWAP),
    }
    if limits.memory_reservation > 0 {
        // The file that runc uses for docker's soft limit.
        add(&["memory.low"], limits.memory_reservation.to_string(), NO_RESERVATION);
    }
}

fn cpu(limits: &LimitsSpec, settings: &mut Vec<CgroupSetting>) {
    if limits.cpu_shares > 0 {
        let weight = weight_of_shares(limits.cpu_shares).to_string();
        settings.push(setting(CgroupController::Cpu, &["cpu.weight"], weight, NO_SHARES));
    }
    if let Some((quota, period)) = limits.bandwidth() {
        let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        settings.push(setting(
            CgroupController::Cpu,
            &["cpu.max"],
            format!("{quota} {period}"),
            NO_BANDWIDTH,
        ));
    }
    let sets = [(&limits.cpuset_cpus, &["cpuset.cpus"]), (&limits.cpuset_mems, &["cpuset.mems"])];
    for (list, file) in sets {
        if !list.trim().is_empty() {
            settings.push(setting(CgroupController::Cpuset, file, list.trim().to_owned(), NO_CPUSET));
        }
    }
}

/// Converts shares (2 to 262144, default 1024) to a weight (1 to 10000, default 100), by the curve through
/// these three points that runc and crun use.
fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10_f64.powf(exponent).ceil() as u64
}

fn disks(limits: &LimitsSpec, settings: &mut Vec<CgroupSetting>) -> Result<(), Failure> {
    if limits.blkio_weight > 0 {
        settings.push(weight(limits.blkio_weight, ""));
    }
    for device in &limits.blkio_weight_device {
        if device.weight > 0 {
            let number = number_of(&device.path)?;
            settings.push(CgroupSetting {
                missing: NO_WEIGHT_DEVICE,
                ..weight(device.weight, &format!("{number} "))
            });
        }
    }
    let keys = ["rbps", "wbps", "riops", "wiops"];
    for ((rates, missing), key) in device_rates(limits).into_iter().zip(keys) {
        for DeviceRate { path, rate } in rates {
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            let value = format!("{} {key}={rate}", number_of(path)?);
            settings.push(setting(CgroupController::Io, &["io.max"], value, missing));
        }
    }
    Ok(())
}

fn device_rates(limits: &LimitsSpec) -> [(&[DeviceRate], &'static str); 4] {
    [
        (&limits.read_bps, NO_READ_BPS),
        (&limits.write_bps, NO_WRITE_BPS),
        (&limits.read_iops, NO_READ_IOPS),
        (&limits.write_iops, NO_WRITE_IOPS),
    ]
}

/// A weight for the BFQ scheduler (10 to 1000, as in docker), or for the io.cost model (1 to 10000).
fn weight(weight: u16, prefix: &str) -> CgroupSetting {
    // The linear mapping that runc uses.
    let general = 1 + (u32::from(weight).saturating_sub(10)) * 9999 / 990;
    CgroupSetting {
        controller: CgroupController::Io,
        files: &["io.bfq.weight", "io.weight"],
        values: vec![format!("{prefix}{weight}"), format!("{prefix}{general}")],
        missing: NO_WEIGHT,
    }
}

/// The `major:minor` of a block device.
fn number_of(path: &str) -> Result<String, Failure> {
    let metadata = stat(path).map_err(|error| {
        let error = io::Error::from(error);
        Failure::new(FailureKind::Invalid, format!("stat {}: {error}", path.escape_debug()))
    })?;
    if FileType::from_raw_mode(metadata.st_mode) != FileType::BlockDevice {
        return Err(invalid(format!("{} is not a block device", path.escape_debug())));
    }
    Ok(format!("{}:{}", major(metadata.st_rdev), minor(metadata.st_rdev)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &LimitsSpec) -> Vec<(&'static str, String)> {
        settings_for(limits).unwrap().into_iter().map(|s| (s.files[0], s.values[0].clone())).collect()
    }

    fn pair(file: &'static str, value: &str) -> (&'static str, String) {
        (file, value.to_owned())
    }

    #[test]
    fn limits_become_lines() {
        let limits = LimitsSpec {
            memory: 64 << 20,
            memory_swap: 96 << 20,
            memory_reservation: 32 << 20,
            nano_cpus: 1_500_000_000,
            cpu_shares: 1024,
            cpuset_cpus: "0-1".into(),
            cpuset_mems: " 0\n".into(),
            pids: Some(20),
            blkio_weight: 1000,
            ..Default::default()
        };
        let expected = [
            pair("memory.max", "67108864"),
            pair("memory.swap.max", "33554432"),
            pair("memory.low", "33554432"),
            pair("cpu.weight", "100"),
            pair("cpu.max", "150000 100000"),
            pair("cpuset.cpus", "0-1"),
            pair("cpuset.mems", "0"),
            pair("pids.max", "20"),
            pair("io.bfq.weight", "1000"),
        ];
        assert_eq!(written(&limits), expected);
        assert_eq!(settings_for(&limits).unwrap().last().unwrap().values[1], "10000");
        assert_eq!(written(&LimitsSpec::default()), []);
    }

    #[test]
    fn what_is_lifted_is_written_too() {
        let limits = LimitsSpec { memory_swap: -1, cpu_quota: -1, pids: Some(-1), ..Default::default() };
        let expected =
            [pair("memory.swap.max", "max"), pair("cpu.max", "max 100000"), pair("pids.max", "max")];
        assert_eq!(written(&limits), expected);
    }

    #[test]
    fn shares_keep_their_proportions() {
        for (shares, weight) in [(1, 1), (2, 1), (1024, 100), (262_144, 10_000), (512, 59), (2048, 174)] {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn a_disk_must_be_one() {
        let rate = |path: &str| LimitsSpec {
            read_bps: vec![DeviceRate { path: path.into(), rate: 1 }],
            ..Default::default()
        };
        assert!(settings_for(&rate("/dev/null")).unwrap_err().to_string().contains("not a block device"));
        assert!(settings_for(&rate("/dev/no-such")).unwrap_err().to_string().contains("stat /dev/no-such"));
    }

    #[test]
    fn each_kind_of_limit_that_does_not_hold_is_said_once() {
        let limits = LimitsSpec {
            memory: 64 << 20,
            memory_swap: 128 << 20,
            nano_cpus: 1,
            cpuset_cpus: "0".into(),
            cpuset_mems: "0".into(),
            pids: Some(5),
            read_bps: vec![DeviceRate { path: "/dev/sda".into(), rate: 1 }],
            ..Default::default()
        };
        let none = discarded_limits(&limits, ControllerSet::default(), |_| true);
        assert_eq!(none, [NO_MEMORY, NO_BANDWIDTH, NO_CPUSET, NO_PIDS, NO_READ_BPS]);
        let mut had = ControllerSet::default();
        had.insert(CgroupController::Memory);
        had.insert(CgroupController::Pids);
        let some = discarded_limits(&limits, had, |file| file != "memory.swap.max");
        assert_eq!(some, [NO_SWAP, NO_BANDWIDTH, NO_CPUSET, NO_READ_BPS]);
        let lifted = LimitsSpec { pids: Some(-1), ..Default::default() };
        assert!(discarded_limits(&lifted, ControllerSet::default(), |_| true).is_empty());
    }
}
