//! Flags for mounts, volumes, devices and the root file system.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, DeviceSpec};
use dhow_model::mount::MountSpec;
use dhow_model::{bytes, flags, mount, volume};

/// Files and devices.
#[derive(Args)]
pub(crate) struct ContainerMountFlags {
    /// Mount [SOURCE:]TARGET[:OPTIONS]; SOURCE is an absolute path of the host or a volume's name
    #[arg(short, long, value_name = "MOUNT")]
    volume: Vec<String>,
    /// Mount by keys: type=bind|volume|tmpfs,source=…,target=…[,readonly]
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// File system in memory, TARGET[:OPTIONS]
    #[arg(long, value_name = "MOUNT")]
    tmpfs: Vec<String>,
    /// Take over the mounts of another container, CONTAINER[:ro|rw]
    #[arg(long, value_name = "CONTAINER")]
    volumes_from: Vec<String>,
    /// The driver of volumes: `local`
    #[arg(long, value_name = "DRIVER")]
    volume_driver: Option<String>,
    /// Offer a device of the host, HOST[:CONTAINER][:PERMISSIONS]
    #[arg(long, value_name = "DEVICE")]
    device: Vec<DeviceSpec>,
    /// Mount the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Use this directory of the host as root file system in place of an image
    #[arg(long, value_name = "DIR")]
    rootfs: Option<PathBuf>,
    /// Size of /dev/shm (64m by default)
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    shm_size: Option<u64>,
}

impl ContainerMountFlags {
    pub(super) fn has_rootfs(&self) -> bool {
        self.rootfs.is_some()
    }

    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        let base = || std::env::current_dir().context("cannot find the current directory");
        let mut mounts = Vec::new();
        // The current directory may be gone, and is looked up only if a path can be relative to it.
        if !self.volume.is_empty() || !self.mount.is_empty() {
            let base = base()?;
            mounts = parse_mounts(&self.volume, &self.mount, &base)?;
        }
        for text in &self.tmpfs {
            mounts.push(mount::parse_tmpfs(text)?);
        }
        refuse_duplicates(&mounts)?;
        volume::check_driver(self.volume_driver.as_deref().unwrap_or_default())?;
        spec.volumes_from = self.volumes_from;
        spec.mounts = mounts;
        spec.devices = self.device;
        spec.read_only = self.read_only;
        spec.rootfs = self.rootfs.map(std::path::absolute).transpose().context("cannot use --rootfs")?;
        // docker takes 0 for the default.
        spec.shm_size = self.shm_size.filter(|size| *size > 0);
        Ok(())
    }
}

fn parse_mounts(volumes: &[String], mounts: &[String], base: &Path) -> anyhow::Result<Vec<MountSpec>> {
    let volumes = volumes.iter().map(|text| flags::volume::parse_volume(text, base));
    let mounts = mounts.iter().map(|text| flags::mount::parse(text, base));
    Ok(volumes.chain(mounts).collect::<Result<_, _>>()?)
}

fn refuse_duplicates(mounts: &[MountSpec]) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    match mounts.iter().find(|mount| !seen.insert(&mount.target)) {
        Some(duplicate) => Err(invalid(format!("Duplicate mount point: {}", duplicate.target)).into()),
        None => Ok(()),
    }
}
