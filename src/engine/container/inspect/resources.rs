//! docker's `Resources` of a container: limits and devices.

use serde::Serialize;

use dhow_model::container::{ContainerSpec, DeviceSpec};
use dhow_model::limits::{DeviceRate, DeviceWeight};

/// Fields for features that cgroup v2 does not have hold docker's values for them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HostResources {
    cpu_shares: u64,
    memory: u64,
    nano_cpus: u64,
    cgroup_parent: String,
    blkio_weight: u16,
    blkio_weight_device: Vec<WeightDevice>,
    blkio_device_read_bps: Vec<ThrottleDevice>,
    blkio_device_write_bps: Vec<ThrottleDevice>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: Vec<ThrottleDevice>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: Vec<ThrottleDevice>,
    cpu_period: u64,
    cpu_quota: i64,
    cpu_realtime_period: u64,
    cpu_realtime_runtime: u64,
    cpuset_cpus: String,
    cpuset_mems: String,
    devices: Vec<DeviceMapping>,
    device_cgroup_rules: Option<Vec<String>>,
    device_requests: Option<Vec<String>>,
    memory_reservation: u64,
    memory_swap: i64,
    memory_swappiness: Option<i64>,
    oom_kill_disable: Option<bool>,
    pids_limit: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WeightDevice {
    path: String,
    weight: u16,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThrottleDevice {
    path: String,
    rate: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeviceMapping {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

impl HostResources {
    pub(crate) fn of(spec: &ContainerSpec) -> Self {
        let limits = &spec.limits;
        Self {
            cpu_shares: limits.cpu_shares,
            memory: limits.memory,
            nano_cpus: limits.nano_cpus,
            cgroup_parent: spec.cgroup_parent.clone(),
            blkio_weight: limits.blkio_weight,
            blkio_weight_device: limits.blkio_weight_device.iter().map(weight).collect(),
            blkio_device_read_bps: rates(&limits.read_bps),
            blkio_device_write_bps: rates(&limits.write_bps),
            blkio_device_read_iops: rates(&limits.read_iops),
            blkio_device_write_iops: rates(&limits.write_iops),
            cpu_period: limits.cpu_period,
            cpu_quota: limits.cpu_quota,
            cpu_realtime_period: 0,
            cpu_realtime_runtime: 0,
            cpuset_cpus: limits.cpuset_cpus.clone(),
            cpuset_mems: limits.cpuset_mems.clone(),
            devices: spec.devices.iter().map(device).collect(),
            device_cgroup_rules: None,
            device_requests: None,
            memory_reservation: limits.memory_reservation,
            memory_swap: limits.memory_swap,
            memory_swappiness: None,
            oom_kill_disable: None,
            pids_limit: limits.pids,
        }
    }
}

fn weight(device: &DeviceWeight) -> WeightDevice {
    WeightDevice { path: device.path.clone(), weight: device.weight }
}

fn rates(devices: &[DeviceRate]) -> Vec<ThrottleDevice> {
    devices.iter().map(|device| ThrottleDevice { path: device.path.clone(), rate: device.rate }).collect()
}

fn device(device: &DeviceSpec) -> DeviceMapping {
    DeviceMapping {
        path_on_host: device.host.display().to_string(),
        path_in_container: device.container.clone(),
        cgroup_permissions: device.permissions.clone(),
    }
}
