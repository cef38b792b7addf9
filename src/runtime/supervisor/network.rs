//! The supervisor's handling of networks: the lease, and connecting and disconnecting while the container
//! runs.

use anyhow::Result;

use super::ContainerSupervisor;
use super::container_run::ContainerRun;
use crate::network::{HelperLease, file_edit};
use crate::plan::{generated_files, hosts};
use dhow_error::{Failure, FailureKind};
use dhow_model::container::ContainerSpec;
use dhow_model::network::NetworkAttachment;
use dhow_store::{ContainerDir, elect_default_route};

impl ContainerSupervisor {
    /// Opens a lease at the network helper, if the container is to be on networks.
    pub(crate) fn open_network(&mut self) -> Result<Option<HelperLease>> {
        let Some(networks) = self.networks.clone() else { return Ok(None) };
        let helper = self.helper.take();
        HelperLease::acquire(&self.store, &self.identity, self.container.spec(), networks, helper).map(Some)
    }

    /// Releases the container's addresses.
    pub(super) fn leave_networks(&self) {
        if let Some(networks) = &self.networks {
            // What cannot be released now is reclaimed by whoever needs it.
            let _ = self.store.leave_networks(self.container.spec(), &networks.endpoints());
        }
    }

    /// Connects to a network between two runs: takes effect at the next start.
    pub(crate) fn join_network_next_run(&mut self, attachment: &NetworkAttachment) -> Result<()> {
        self.container.reload()?;
        let spec = self.container.spec();
        let networks = self.networks.as_mut().ok_or_else(|| no_network_namespace(&self.container))?;
        let joined = self.store.join_network(spec, attachment, &networks.endpoints(), None)?;
        networks.attached_networks.push(joined);
        self.update_next_run()
    }

    /// Disconnects from a network between two runs: takes effect at the next start.
    pub(crate) fn leave_network_next_run(&mut self, network: &str) -> Result<()> {
        self.container.reload()?;
        let networks = self.networks.as_mut().ok_or_else(|| no_network_namespace(&self.container))?;
        if let Some(index) = networks.attached_networks.iter().position(|(other, _)| other.id == network) {
            let (_, endpoint) = networks.attached_networks.remove(index);
            self.store.leave_network(&self.container.spec().id, &endpoint)?;
        }
        self.update_next_run()
    }

    fn update_next_run(&mut self) -> Result<()> {
        let spec = self.container.spec();
        if let Some(networks) = &mut self.networks {
            elect_default_route(spec, &mut networks.attached_networks);
            self.state.endpoints = networks.endpoints();
        }
        generated_files::update_network_files(
            &mut self.plan,
            generated_files::network_files(spec, self.networks.as_ref())?,
        );
        self.container.write_state(&self.state)
    }

    /// Connects the running container to a network.
    pub(super) fn join_network(&mut self, attachment: &NetworkAttachment, run: &ContainerRun) -> Result<()> {
        self.container.reload()?;
        let spec = self.container.spec();
        let lease = self.network.as_mut().ok_or_else(|| no_network_namespace(&self.container))?;
        let (network, endpoint) = self.store.join_network(spec, attachment, &lease.endpoints(), None)?;
        if let Err(error) = lease.join_network(spec, network, endpoint.clone()) {
            // The address was allocated for nothing.
            self.store.leave_network(&spec.id, &endpoint)?;
            return Err(error);
        }
        let change = |text: &str, spec: &ContainerSpec| hosts::add_hosts_lines(text, spec, &endpoint);
        self.update_running_networks(run, change)
    }

    /// Disconnects the running container from a network.
    pub(super) fn leave_network(&mut self, network: &str, run: &ContainerRun) -> Result<()> {
        let lease = self.network.as_mut().ok_or_else(|| no_network_namespace(&self.container))?;
        let Some(endpoint) = lease.endpoints().into_iter().find(|endpoint| endpoint.network == network)
        else {
            let message = format!("container {} is not connected to network {network}", self.plan.name);
            return Err(Failure::new(FailureKind::NotFound, message).into());
        };
        self.container.reload()?;
        lease.leave_network(self.container.spec(), network)?;
        self.store.leave_network(&self.container.spec().id, &endpoint)?;
        self.update_running_networks(run, |text, spec| hosts::remove_hosts_lines(text, spec, &endpoint))
    }

    /// Records the container's endpoints and updates its /etc/hosts and /etc/resolv.conf.
    fn update_running_networks(
        &mut self,
        run: &ContainerRun,
        change: impl Fn(&str, &ContainerSpec) -> String,
    ) -> Result<()> {
        self.container.reload()?;
        // Kept to see whether the container has edited the file since it was generated.
        let old = generated_files::network_files(self.container.spec(), self.networks.as_ref())?;
        if let (Some(networks), Some(network)) = (&mut self.networks, &self.network) {
            networks.attached_networks = network.attached().to_vec();
            self.state.endpoints = network.endpoints();
            self.state.published = network.published().to_vec();
        }
        self.container.write_state(&self.state)?;
        let spec = self.container.spec();
        // A container that replaced the file, or has none, manages it itself.
        let _ = file_edit::edit_file(run.process.pidfd(), "etc/hosts", |text| change(text, spec));
        let new = generated_files::network_files(spec, self.networks.as_ref())?;
        if new.resolv_conf != old.resolv_conf {
            // A file that the container has edited is left alone.
            let update_unedited =
                |text: &str| if text == old.resolv_conf { &new.resolv_conf } else { text }.to_owned();
            let _ = file_edit::edit_file(run.process.pidfd(), "etc/resolv.conf", update_unedited);
        }
        generated_files::update_network_files(&mut self.plan, new);
        Ok(())
    }

    pub(crate) fn rename_on_networks(&mut self) -> Result<()> {
        let name = &self.container.spec().name;
        match &mut self.network {
            Some(network) if network.name() != name => network.rename(name),
            _ => Ok(()),
        }
    }

    /// After the network helper was killed. If somebody took the container's ports meanwhile, it goes on
    /// without a network.
    pub(crate) fn recover_network(&mut self) -> Result<()> {
        let Some(network) = &mut self.network else { return Ok(()) };
        if let Err(error) = network.recover() {
            self.state.error = format!("its network is lost: {error:#}");
            self.state.published.clear();
            self.network = None;
            self.container.write_state(&self.state)?;
        }
        Ok(())
    }
}

fn no_network_namespace(container: &ContainerDir) -> Failure {
    Failure::new(
        FailureKind::Conflict,
        format!("container {} has no network namespace of its own", container.spec().name),
    )
}
