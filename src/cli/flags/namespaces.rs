//! Flags that choose the container's namespaces.

use clap::Args;

use dhow_error::invalid;
use dhow_model::container::{ContainerSpec, IpcMode, UsernsMode};
use dhow_model::flags::namespace::{parse_container, parse_host_or_private};

/// Namespaces other than the network's.
#[derive(Args)]
pub(crate) struct NamespaceFlags {
    /// Process table: host or container:NAME shares theirs
    #[arg(long, value_name = "MODE")]
    pid: Option<String>,
    /// IPC namespace: private, shareable, container:NAME, none or host
    #[arg(long, value_name = "MODE")]
    ipc: Option<IpcMode>,
    /// Host name: `host` shares the host's
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// Cgroup namespace: private or host
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Map of users: host, keep-id[:uid=N,gid=N], auto or nomap
    #[arg(long, value_name = "MODE")]
    userns: Option<UsernsMode>,
}

impl NamespaceFlags {
    pub(super) fn fill(self, spec: &mut ContainerSpec) -> anyhow::Result<()> {
        let is_host = |mode: &Option<String>, flag| match mode {
            Some(mode) => parse_host_or_private(mode, flag),
            None => Ok(false),
        };
        let namespaces = &mut spec.namespaces;
        // Of these flags, only --pid can name a container in docker.
        namespaces.pid_container =
            self.pid.as_deref().map(|mode| parse_container(mode, "--pid")).transpose()?.flatten();
        namespaces.pid_host = namespaces.pid_container.is_none() && is_host(&self.pid, "--pid")?;
        namespaces.uts_host = is_host(&self.uts, "--uts")?;
        namespaces.cgroup_host = is_host(&self.cgroupns, "--cgroupns")?;
        namespaces.ipc = self.ipc.unwrap_or_default();
        namespaces.userns = self.userns.unwrap_or_default();
        if namespaces.uts_host && (spec.hostname.is_some() || spec.domainname.is_some()) {
            return Err(invalid("conflicting options: hostname and the UTS mode").into());
        }
        Ok(())
    }
}
