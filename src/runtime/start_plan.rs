//! What the command works out for a start before it forks the supervisor.

use anyhow::Result;

use super::network::{self, NetworkPlan, PendingHelper};
use super::plan;
use dhow_model::digest::Digest;
use dhow_model::environment::Environment;
use dhow_sandbox::identity::HostIdentity;
use dhow_sandbox::plan::SandboxPlan;
use dhow_store::{LockedContainer, Store};

pub struct StartPlan {
    pub(crate) sandbox: SandboxPlan,
    /// The networks to join; `None` without networks of its own.
    pub(crate) networks: Option<NetworkPlan>,
    /// The network helper, connected or starting.
    pub(crate) helper: Option<PendingHelper>,
}

impl StartPlan {
    /// Resolves the networks of `container`, allocates its addresses, and makes the sandbox's plan. `layers` are the
    /// image's, lowest first. The process must be single-threaded.
    pub fn new(
        store: &Store,
        container: &LockedContainer,
        layers: &[Digest],
        identity: &HostIdentity,
        environment: &Environment,
    ) -> Result<Self> {
        let networks = network::prepare_networks(store, container, environment)?;
        // The helper starts while the plan is made.
        let helper = network::reach_helper(store, identity, container.spec(), networks.as_ref())?;
        let sandbox = plan::make_plan(store, container, layers, identity, networks.as_ref())?;
        Ok(Self { sandbox, networks, helper })
    }
}
