//! Flags for capabilities, seccomp and other confinement.

use clap::Args;

use super::files;
use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, SeccompMode, SecuritySpec};
use dhow_model::flags::security::SecurityOption;
use dhow_model::flags::sysctl;

/// Capabilities, filters, privileges, kernel settings.
#[derive(Args)]
pub(crate) struct SecurityFlags {
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// All capabilities, no filter of system calls, nothing masked: as much as the user may give away
    #[arg(long)]
    privileged: bool,
    /// seccomp=FILE|unconfined, no-new-privileges, apparmor=…, label=…, systempaths=unconfined, writable-cgroups
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<SecurityOption>,
    /// Kernel setting of the container's own namespaces, NAME=VALUE
    #[arg(long, value_name = "SETTING")]
    sysctl: Vec<String>,
}

impl SecurityFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        for text in &self.sysctl {
            let (name, value) = sysctl::parse(text)?;
            spec.sysctls.insert(name, value);
        }
        let security = &mut spec.security;
        security.privileged = self.privileged;
        security.cap_add = self.cap_add;
        security.cap_drop = self.cap_drop;
        for option in self.security_opt {
            apply_option(security, option)?;
        }
        Ok(())
    }
}

fn apply_option(security: &mut SecuritySpec, option: SecurityOption) -> anyhow::Result<()> {
    match option {
        SecurityOption::NoNewPrivileges(value) => security.no_new_privileges = value,
        SecurityOption::SeccompUnconfined => security.seccomp = SeccompMode::Unconfined,
        SecurityOption::SeccompDefault => security.seccomp = SeccompMode::Default,
        SecurityOption::SeccompFile(path) => security.seccomp = SeccompMode::Profile(read_profile(&path)?),
        SecurityOption::AppArmor(name) => security.apparmor = Some(name),
        SecurityOption::Label(label) => security.labels.push(label),
        SecurityOption::Unmasked => security.unmasked = true,
        SecurityOption::WritableCgroups(value) => security.writable_cgroups = value,
    }
    Ok(())
}

fn read_profile(path: &str) -> anyhow::Result<String> {
    let content = files::read_flag_file("--security-opt seccomp", path)?;
    let text = String::from_utf8(content).map_err(|_| invalid(format!("`{path}` is not UTF-8")))?;
    // Only whether it is JSON: the sandbox parses the profile.
    serde_json::from_str::<serde::de::IgnoredAny>(&text)
        .map_err(|why| invalid(format!("the seccomp profile `{path}` is not JSON: {why}")))?;
    Ok(text)
}
