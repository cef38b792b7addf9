//! The supervisor's handling of networks: the lease, and connecting and disconnecting while the container
//! runs.

use anyhow::Result;

use super::Supervision;
use super::run::Run;
use crate::engine::networking::{Network, hosts_file};
use crate::engine::plan::{files, generated};
use crate::error::{Failure, Kind};
use crate::model::container::ContainerSpec;
use crate::model::network::Attachment;
use crate::store::{ContainerDir, elect_route};

impl Supervision {
    /// Opens a lease at the network helper, if the container is to be on networks.
    pub(super) fn open_network(&mut self) -> Result<Option<Network>> {
        let Some(wanted) = self.networks.clone() else { return Ok(None) };
        let helper = self.helper.take();
        Network::open(&self.store, &self.identity, self.container.spec(), wanted, helper).map(Some)
    }

    /// Releases the container's addresses.
    pub(super) fn leave_networks(&self) {
        if let Some(networks) = &self.networks {
            // What cannot be released now is reclaimed by whoever needs it.
            let _ = self.store.leave_networks(self.container.spec(), &networks.endpoints());
        }
    }

    /// Connects to a network between two runs: takes effect at the next start.
    pub(super) fn join_network_later(&mut self, attachment: &Attachment) -> Result<()> {
        self.container.reload()?;
        let spec = self.container.spec();
        let wanted = self.networks.as_mut().ok_or_else(|| without_networks(&self.container))?;
        let place = self.store.join_network(spec, attachment, &wanted.endpoints(), None)?;
        wanted.places.push(place);
        self.places_changed()
    }

    /// Disconnects from a network between two runs: takes effect at the next start.
    pub(super) fn leave_network_later(&mut self, network: &str) -> Result<()> {
        self.container.reload()?;
        let wanted = self.networks.as_mut().ok_or_else(|| without_networks(&self.container))?;
        if let Some(index) = wanted.places.iter().position(|(other, _)| other.id == network) {
            let (_, endpoint) = wanted.places.remove(index);
            self.store.leave_network(&self.container.spec().id, &endpoint)?;
        }
        self.places_changed()
    }

    fn places_changed(&mut self) -> Result<()> {
        let spec = self.container.spec();
        if let Some(wanted) = &mut self.networks {
            elect_route(spec, &mut wanted.places);
            self.state.endpoints = wanted.endpoints();
        }
        generated::renew(&mut self.plan, generated::texts(spec, self.networks.as_ref())?);
        self.container.write_state(&self.state)
    }

    /// Connects the running container to a network.
    pub(super) fn join_network(&mut self, attachment: &Attachment, run: &Run) -> Result<()> {
        self.container.reload()?;
        let own = self.container.spec();
        let network = self.network.as_mut().ok_or_else(|| without_networks(&self.container))?;
        let (spec, endpoint) = self.store.join_network(own, attachment, &network.endpoints(), None)?;
        if let Err(error) = network.join(own, spec, endpoint.clone()) {
            // The address was allocated for nothing.
            self.store.leave_network(&own.id, &endpoint)?;
            return Err(error);
        }
        let change = |text: &str, spec: &ContainerSpec| files::hosts_joined(text, spec, &endpoint);
        self.networks_changed(run, change)
    }

    /// Disconnects the running container from a network.
    pub(super) fn leave_network(&mut self, network: &str, run: &Run) -> Result<()> {
        let networks = self.network.as_mut().ok_or_else(|| without_networks(&self.container))?;
        let Some(endpoint) = networks.endpoints().into_iter().find(|place| place.network == network) else {
            let message = format!("container {} is not connected to network {network}", self.plan.name);
            return Err(Failure::new(Kind::NotFound, message).into());
        };
        self.container.reload()?;
        networks.leave(self.container.spec(), network)?;
        self.store.leave_network(&self.container.spec().id, &endpoint)?;
        self.networks_changed(run, |text, spec| files::hosts_left(text, spec, &endpoint))
    }

    /// Records the container's endpoints and updates its /etc/hosts and /etc/resolv.conf.
    fn networks_changed(&mut self, run: &Run, change: impl Fn(&str, &ContainerSpec) -> String) -> Result<()> {
        self.container.reload()?;
        // Kept to see whether the container has edited the file since it was generated.
        let old = generated::texts(self.container.spec(), self.networks.as_ref())?;
        if let (Some(wanted), Some(network)) = (&mut self.networks, &self.network) {
            wanted.places = network.places().to_vec();
            self.state.endpoints = network.endpoints();
            self.state.published = network.published().to_vec();
        }
        self.container.write_state(&self.state)?;
        let spec = self.container.spec();
        // A container that replaced the file, or has none, manages it itself.
        let _ = hosts_file::edit(run.pidfd(), "etc/hosts", |text| change(text, spec));
        let new = generated::texts(spec, self.networks.as_ref())?;
        if new.resolv_conf != old.resolv_conf {
            // A file that the container has edited is left alone.
            let or_own =
                |text: &str| if text == old.resolv_conf { &new.resolv_conf } else { text }.to_owned();
            let _ = hosts_file::edit(run.pidfd(), "etc/resolv.conf", or_own);
        }
        generated::renew(&mut self.plan, new);
        Ok(())
    }

    pub(super) fn rename_on_networks(&mut self) -> Result<()> {
        let name = &self.container.spec().name;
        match &mut self.network {
            Some(network) if network.name() != name => network.rename(name),
            _ => Ok(()),
        }
    }

    /// After the network helper was killed. If somebody took the container's ports meanwhile, it goes on
    /// without a network.
    pub(super) fn recover_network(&mut self) -> Result<()> {
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

fn without_networks(container: &ContainerDir) -> Failure {
    Failure::new(
        Kind::Conflict,
        format!("container {} has no network namespace of its own", container.spec().name),
    )
}
