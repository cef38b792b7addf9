//! Legacy links (`--link`) on the default network, which has no DNS: lines for /etc/hosts.

use std::net::IpAddr;

use anyhow::Result;

use crate::state::ContainerState;
use dhow_error::{Failure, FailureKind, invalid};
use dhow_model::container::ContainerSpec;
use dhow_model::network::{NetworkEndpoint, NetworkSpec};
use dhow_store::{ContainerDir, Store};

/// The addresses of containers that `spec` links to on the default network, each with its names: the alias,
/// the host name, and the container's name.
pub(crate) fn legacy_links(
    store: &Store,
    spec: &ContainerSpec,
    attached: &[(NetworkSpec, NetworkEndpoint)],
) -> Result<Vec<(IpAddr, String)>> {
    let mut lines = Vec::new();
    for (network, endpoint) in attached.iter().filter(|(network, _)| network.is_default()) {
        for (alias, id) in &endpoint.links {
            // The target may have been removed since the link was made.
            let Some(other) = store.container(id)? else { continue };
            let target = linked_endpoint(&other, network, &format!("/{}/{alias}", spec.name))?;
            let names = link_names(alias, other.spec());
            lines.extend(target.addresses().map(|address| (address, names.clone())));
        }
    }
    Ok(lines)
}

fn link_names(alias: &str, other: &ContainerSpec) -> String {
    let names = format!("{alias} {}", other.host_name());
    if alias == other.name { names } else { format!("{names} {}", other.name) }
}

/// The linked container's endpoint on the default network. With docker's wording.
fn linked_endpoint(other: &ContainerDir, network: &NetworkSpec, link: &str) -> Result<NetworkEndpoint> {
    let name = &other.spec().name;
    let state: Option<ContainerState> = other.read_state()?;
    let endpoints = state.filter(|state| state.pid != 0).map(|state| state.endpoints);
    let Some(endpoints) = endpoints else {
        let message = format!("Cannot link to a non running container: /{name} AS {link}");
        return Err(Failure::new(FailureKind::Conflict, message).into());
    };
    endpoints.into_iter().find(|endpoint| endpoint.network == network.id).ok_or_else(|| {
        invalid(format!("Cannot link to /{name}, as it does not belong to the default network")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_known_by_all_names_and_each_once() {
        let mut other = ContainerSpec { name: "db".into(), ..ContainerSpec::default() };
        other.hostname = Some("host".into());
        assert_eq!(link_names("store", &other), "store host db");
        assert_eq!(link_names("db", &other), "db host");
    }
}
