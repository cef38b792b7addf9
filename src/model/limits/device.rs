//! Limits for single devices: `--blkio-weight-device`, `--device-read-bps` and the like,
//! `--device-cgroup-rule`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes;
use dhow_error::{Failure, invalid};

/// The I/O weight of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// Below /dev.
    pub path: String,
    /// 10 to 1000; 0 resets it.
    pub weight: u16,
}

/// A maximum rate for a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Below /dev.
    pub path: String,
    /// Bytes or operations per second.
    pub rate: u64,
}

impl FromStr for DeviceWeight {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (path, value) = split(text)?;
        let weight = value.parse::<u16>().ok().filter(|weight| *weight == 0 || (10..=1000).contains(weight));
        match weight {
            Some(weight) => Ok(Self { path: path.to_owned(), weight }),
            None => Err(invalid(format!("invalid weight for device: {}", text.escape_debug()))),
        }
    }
}

impl FromStr for DeviceRate {
    type Err = Failure;

    /// A rate in bytes, with an optional unit.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let (path, value) = split(text)?;
        let rate = bytes::parse(value).map_err(|_| {
            invalid(format!(
                "invalid rate for device: {}. The correct format is <device-path>:<number>[<unit>]. Number must be a \
                 positive integer. Unit is optional and can be kb, mb, or gb",
                text.escape_debug()
            ))
        })?;
        Ok(Self { path: path.to_owned(), rate })
    }
}

/// Parses a rate in operations.
pub fn parse_iops(text: &str) -> Result<DeviceRate, Failure> {
    let (path, value) = split(text)?;
    let rate = value.parse().map_err(|_| {
        invalid(format!(
            "invalid rate for device: {}. The correct format is <device-path>:<number>. Number must be a positive \
             integer",
            text.escape_debug()
        ))
    })?;
    Ok(DeviceRate { path: path.to_owned(), rate })
}

fn split(text: &str) -> Result<(&str, &str), Failure> {
    let (path, value) = text
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| invalid(format!("bad format: {}", text.escape_debug())))?;
    if !path.starts_with("/dev/") {
        return Err(invalid(format!("bad format for device path: {}", text.escape_debug())));
    }
    Ok((path, value))
}

/// Validates `--device-cgroup-rule`: `c 1:3 rw`, `b *:* m`, `a 7:1 r`.
pub fn check_device_rule(text: &str) -> Result<String, Failure> {
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let valid = match parts.as_slice() {
        [kind, numbers, access] => {
            matches!(*kind, "a" | "c" | "b")
                && numbers.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.bytes().all(|b| b"rwm".contains(&b))
        }
        _ => false,
    };
    if valid {
        return Ok(text.to_owned());
    }
    Err(invalid(format!("invalid device cgroup format '{}'", text.escape_debug())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_disks_with_numbers() {
        let weight: DeviceWeight = "/dev/sda:300".parse().unwrap();
        assert_eq!((weight.path.as_str(), weight.weight), ("/dev/sda", 300));
        let rate: DeviceRate = "/dev/sda:1mb".parse().unwrap();
        assert_eq!((rate.path.as_str(), rate.rate), ("/dev/sda", 1 << 20));
        assert_eq!(parse_iops("/dev/sda:1000").unwrap().rate, 1000);
        for bad in ["", "/dev/sda", "sda:300", "/dev/sda:x", "/dev/sda:", ":300"] {
            assert!(bad.parse::<DeviceWeight>().is_err(), "{bad}");
            assert!(bad.parse::<DeviceRate>().is_err(), "{bad}");
            assert!(parse_iops(bad).is_err(), "{bad}");
        }
        assert!("/dev/sda:5".parse::<DeviceWeight>().is_err());
        assert!(parse_iops("/dev/sda:1k").is_err());
    }

    #[test]
    fn rules_for_devices_have_three_parts() {
        for good in ["c 1:3 rwm", "a *:* m", "b 8:* r"] {
            check_device_rule(good).unwrap();
        }
        for bad in ["", "c 1:3", "x 1:3 r", "c 1 r", "c 1:3 x", "c 1:3 rwmr", "c 1:a r", "c 1:3 r "] {
            assert!(check_device_rule(bad).is_err(), "{bad}");
        }
    }
}
