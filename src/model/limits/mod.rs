//! Resource limits of a container, with docker's rules for them.

mod device;
mod list;

pub use device::{DeviceRate, DeviceWeight, check_device_rule, parse_iops};
pub use list::parse_list;

use serde::{Deserialize, Serialize};

use crate::record::is_default;
use dhow_error::{Failure, invalid};

/// docker's minimum memory limit, 6 MiB.
const MIN_MEMORY: u64 = 6 << 20;
/// The CFS period for `--cpus`, in microseconds; docker's and the kernel's default.
const PERIOD: u64 = 100_000;

/// Requested limits. Zero, an empty string or list, and `None` mean unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitsSpec {
    /// In bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub memory: u64,
    /// Memory and swap together, in bytes; -1 for unlimited swap.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_swap: i64,
    /// In bytes; reclaimed only when no unprotected memory is left.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_reservation: u64,
    /// Billionths of a CPU.
    #[serde(skip_serializing_if = "is_default")]
    pub nano_cpus: u64,
    /// CFS period in microseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_period: u64,
    /// CPU time per period in microseconds; negative for unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_quota: i64,
    /// Relative weight; 1024 is the default.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_shares: u64,
    /// `0-2,4`.
    #[serde(skip_serializing_if = "is_default")]
    pub cpuset_cpus: String,
    /// `0,1`.
    #[serde(skip_serializing_if = "is_default")]
    pub cpuset_mems: String,
    /// Processes and threads; zero or less for unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub pids: Option<i64>,
    /// Relative I/O weight, 10 to 1000.
    #[serde(skip_serializing_if = "is_default")]
    pub blkio_weight: u16,
    #[serde(skip_serializing_if = "is_default")]
    pub blkio_weight_device: Vec<DeviceWeight>,
    #[serde(skip_serializing_if = "is_default")]
    pub read_bps: Vec<DeviceRate>,
    #[serde(skip_serializing_if = "is_default")]
    pub write_bps: Vec<DeviceRate>,
    #[serde(skip_serializing_if = "is_default")]
    pub read_iops: Vec<DeviceRate>,
    #[serde(skip_serializing_if = "is_default")]
    pub write_iops: Vec<DeviceRate>,
}

impl LimitsSpec {
    /// Whether nothing is limited, so that no cgroup is needed.
    pub fn is_empty(&self) -> bool {
        // docker's `--pids-limit 0` and `-1` both mean unlimited.
        let unlimited = Self { pids: self.pids.filter(|limit| *limit > 0), ..self.clone() };
        unlimited == Self::default()
    }

    /// Validates what does not depend on the machine, as docker does on creation.
    pub fn check(&self) -> Result<(), Failure> {
        self.check_change()?;
        // Not for a change, which may leave the memory limit as it is.
        if self.memory == 0 && self.memory_swap > 0 {
            return Err(invalid(
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ));
        }
        Ok(())
    }

    /// Validates a change of limits (`update`).
    pub fn check_change(&self) -> Result<(), Failure> {
        self.check_memory()?;
        self.check_cpu()?;
        parse_list(&self.cpuset_cpus).map_err(|_| bad_list(&self.cpuset_cpus, "cpus"))?;
        parse_list(&self.cpuset_mems).map_err(|_| bad_list(&self.cpuset_mems, "mems"))?;
        if self.blkio_weight > 0 && !(10..=1000).contains(&self.blkio_weight) {
            return Err(invalid("Range of blkio weight is from 10 to 1000"));
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), Failure> {
        let too_small = |size: u64| size != 0 && size < MIN_MEMORY;
        if too_small(self.memory) {
            return Err(invalid("Minimum memory limit allowed is 6MB"));
        }
        if self.memory > 0 && u64::try_from(self.memory_swap).is_ok_and(|both| 0 < both && both < self.memory)
        {
            return Err(invalid("Minimum memoryswap limit should be larger than memory limit, see usage"));
        }
        if too_small(self.memory_reservation) {
            return Err(invalid("Minimum memory reservation allowed is 6MB"));
        }
        if self.memory > 0 && self.memory < self.memory_reservation {
            return Err(invalid(
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ));
        }
        Ok(())
    }

    fn check_cpu(&self) -> Result<(), Failure> {
        if self.nano_cpus > 0 && self.cpu_period > 0 {
            return Err(invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
        }
        if self.nano_cpus > 0 && self.cpu_quota > 0 {
            return Err(invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set"));
        }
        if self.cpu_period != 0 && !(1000..=1_000_000).contains(&self.cpu_period) {
            return Err(invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ));
        }
        if self.cpu_quota > 0 && self.cpu_quota < 1000 {
            return Err(invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
        }
        Ok(())
    }

    /// Fills in docker's defaults: as much swap as memory.
    pub fn complete(&mut self) {
        if self.memory > 0 && self.memory_swap == 0 {
            // What exceeds an i64 is unlimited in effect.
            self.memory_swap = i64::try_from(self.memory.saturating_mul(2)).unwrap_or(-1);
        }
    }

    /// These limits with `change` applied, by the rules of docker's `update`.
    pub fn updated(&self, change: &Self) -> Result<Self, Failure> {
        self.check_cpu_conflict(change)?;
        let mut new = self.clone();
        if change.memory != 0 {
            // Setting memory above an existing memory+swap limit would make the latter invalid.
            let exceeds_swap =
                u64::try_from(self.memory_swap).is_ok_and(|both| 0 < both && both < change.memory);
            if exceeds_swap && change.memory_swap == 0 {
                return Err(invalid(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
                ));
            }
            new.memory = change.memory;
        }
        set_if_given(&mut new.memory_swap, &change.memory_swap);
        set_if_given(&mut new.memory_reservation, &change.memory_reservation);
        set_if_given(&mut new.nano_cpus, &change.nano_cpus);
        set_if_given(&mut new.cpu_period, &change.cpu_period);
        set_if_given(&mut new.cpu_quota, &change.cpu_quota);
        set_if_given(&mut new.cpu_shares, &change.cpu_shares);
        set_if_given(&mut new.cpuset_cpus, &change.cpuset_cpus);
        set_if_given(&mut new.cpuset_mems, &change.cpuset_mems);
        set_if_given(&mut new.blkio_weight, &change.blkio_weight);
        // Zero is a value here (unlimited), so only None means unchanged.
        new.pids = change.pids.or(new.pids);
        // Checked as a whole: the change alone may lack what a rule refers to.
        new.check()?;
        new.complete();
        Ok(new)
    }

    /// `--cpus` is another way to set quota and period, so the two cannot be mixed.
    fn check_cpu_conflict(&self, change: &Self) -> Result<(), Failure> {
        let conflict = |change: &str, present: &str| {
            Err(invalid(format!(
                "Conflicting options: {change} cannot be updated as {present} has already been set"
            )))
        };
        match () {
            () if change.nano_cpus > 0 && self.cpu_period > 0 => conflict("Nano CPUs", "CPU Period"),
            () if change.nano_cpus > 0 && self.cpu_quota > 0 => conflict("Nano CPUs", "CPU Quota"),
            () if change.cpu_period > 0 && self.nano_cpus > 0 => conflict("CPU Period", "NanoCPUs"),
            () if change.cpu_quota > 0 && self.nano_cpus > 0 => conflict("CPU Quota", "NanoCPUs"),
            () => Ok(()),
        }
    }

    /// CPU quota and period in microseconds; a quota of `None` is unlimited. `None` if CPU time is not
    /// limited at all.
    pub fn bandwidth(&self) -> Option<(Option<u64>, u64)> {
        if self.nano_cpus > 0 {
            // 128 bits: with a value from the user the product may exceed 64.
            let quota = u128::from(self.nano_cpus) * u128::from(PERIOD) / 1_000_000_000;
            return Some((Some(u64::try_from(quota).unwrap_or(u64::MAX)), PERIOD));
        }
        if self.cpu_quota == 0 && self.cpu_period == 0 {
            return None;
        }
        let period = if self.cpu_period == 0 { PERIOD } else { self.cpu_period };
        Some((u64::try_from(self.cpu_quota).ok().filter(|quota| *quota > 0), period))
    }
}

fn set_if_given<T: PartialEq + Default + Clone>(target: &mut T, value: &T) {
    if *value != T::default() {
        target.clone_from(value);
    }
}

fn bad_list(text: &str, resource: &str) -> Failure {
    invalid(format!("Invalid value {} for cpuset {resource}", text.escape_debug()))
}

/// Parses `--cpus`: a decimal number with at most nine digits after the point, in billionths.
pub fn parse_cpus(text: &str) -> Result<u64, Failure> {
    let malformed = || invalid(format!("failed to parse {} as a rational number", text.escape_debug()));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return Err(malformed());
    }
    // Trailing zeros do not count: docker only requires a whole number of billionths.
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(invalid("value is too precise"));
    }
    let padded = format!("{}{fraction:0<9}", if whole.is_empty() { "0" } else { whole });
    padded.parse().map_err(|_| malformed())
}

/// Parses `--memory-swap`: a size, or -1.
pub fn parse_swap(text: &str) -> Result<i64, Failure> {
    if text == "-1" {
        return Ok(-1);
    }
    let size = super::bytes::parse(text)?;
    i64::try_from(size).map_err(|_| invalid(format!("invalid size: '{}'", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn what_docker_refuses_is_refused() {
        let refused = |limits: LimitsSpec, words: &str| {
            let message = limits.check().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        let of = LimitsSpec::default;
        refused(LimitsSpec { memory: 6 * MB - 1, ..of() }, "Minimum memory limit allowed is 6MB");
        refused(
            LimitsSpec { memory: 64 * MB, memory_swap: 32 << 20, ..of() },
            "larger than memory limit, see usage",
        );
        refused(LimitsSpec { memory_swap: 64 << 20, ..of() }, "always set the Memory limit");
        refused(LimitsSpec { memory_reservation: MB, ..of() }, "reservation allowed is 6MB");
        refused(
            LimitsSpec { memory: 64 * MB, memory_reservation: 65 * MB, ..of() },
            "less than memory reservation",
        );
        refused(LimitsSpec { nano_cpus: 1, cpu_period: 1000, ..of() }, "Nano CPUs and CPU Period");
        refused(LimitsSpec { nano_cpus: 1, cpu_quota: 1000, ..of() }, "Nano CPUs and CPU Quota");
        refused(LimitsSpec { cpu_period: 999, ..of() }, "CPU cfs period");
        refused(LimitsSpec { cpu_quota: 999, ..of() }, "CPU cfs quota");
        refused(LimitsSpec { cpuset_cpus: "0-".into(), ..of() }, "Invalid value 0- for cpuset cpus");
        refused(LimitsSpec { cpuset_mems: "x".into(), ..of() }, "Invalid value x for cpuset mems");
        refused(LimitsSpec { blkio_weight: 9, ..of() }, "from 10 to 1000");
        LimitsSpec { memory: 6 * MB, memory_swap: -1, cpu_quota: -1, ..of() }.check().unwrap();
    }

    #[test]
    fn no_limit_is_no_limit() {
        assert!(LimitsSpec::default().is_empty());
        assert!(LimitsSpec { pids: Some(-1), ..Default::default() }.is_empty());
        assert!(!LimitsSpec { pids: Some(7), ..Default::default() }.is_empty());
        assert!(!LimitsSpec { cpuset_cpus: "0".into(), ..Default::default() }.is_empty());
    }

    #[test]
    fn swap_space_is_as_large_as_the_memory() {
        let mut limits = LimitsSpec { memory: 64 * MB, ..Default::default() };
        limits.complete();
        assert_eq!(limits.memory_swap, 128 << 20);
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let base =
            LimitsSpec { memory: 64 * MB, memory_swap: 128 << 20, pids: Some(9), ..Default::default() };
        let change = |change: LimitsSpec| base.updated(&change);
        let of = LimitsSpec::default;
        let new = change(LimitsSpec { memory: 32 * MB, cpu_shares: 5, ..of() }).unwrap();
        assert_eq!((new.memory, new.memory_swap, new.cpu_shares, new.pids), (32 * MB, 128 << 20, 5, Some(9)));
        let error = change(LimitsSpec { memory: 256 * MB, ..of() }).unwrap_err().to_string();
        assert!(error.contains("update the memoryswap at the same time"), "{error}");
        change(LimitsSpec { memory: 256 * MB, memory_swap: -1, ..of() }).unwrap();
        assert_eq!(change(LimitsSpec { pids: Some(-1), ..of() }).unwrap().pids, Some(-1));
        let fresh = of().updated(&LimitsSpec { memory: 32 * MB, ..of() }).unwrap();
        assert_eq!(fresh.memory_swap, 64 << 20);
        let shared = LimitsSpec { nano_cpus: 1, ..of() };
        let error = shared.updated(&LimitsSpec { cpu_quota: 5000, ..of() }).unwrap_err().to_string();
        assert_eq!(
            error,
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"
        );
    }

    #[test]
    fn processor_time_in_all_its_spellings() {
        let of = LimitsSpec::default;
        assert_eq!(of().bandwidth(), None);
        assert_eq!(
            LimitsSpec { nano_cpus: 1_500_000_000, ..of() }.bandwidth(),
            Some((Some(150_000), 100_000))
        );
        assert_eq!(LimitsSpec { cpu_quota: 5000, ..of() }.bandwidth(), Some((Some(5000), 100_000)));
        assert_eq!(LimitsSpec { cpu_quota: -1, ..of() }.bandwidth(), Some((None, 100_000)));
        assert_eq!(LimitsSpec { cpu_period: 5000, ..of() }.bandwidth(), Some((None, 5000)));
    }

    #[test]
    fn reads_numbers_of_processors() {
        for (text, nano) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".5", 500_000_000),
            ("1.", 1_000_000_000),
            ("1.50000000000", 1_500_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_cpus(text).unwrap(), nano, "{text}");
        }
        for bad in ["", ".", "x", "-1", "1.0000000001", "1e3", "99999999999999"] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_swap("-1").unwrap(), -1);
        assert_eq!(parse_swap("1k").unwrap(), 1024);
        assert!(parse_swap("-2").is_err());
    }
}
