//! The container specification of a RUN step, with BuildKit's defaults.

use anyhow::Result;

use super::{RunStep, StepContext};
use dhow_error::{invalid, unsupported};
use dhow_model::container::{ContainerSpec, NamespaceSpec, NetworkMode, ProcessSpec, SecuritySpec};
use dhow_model::environment::DEFAULT_PATH;
use dhow_model::flags::hosts;
use dhow_model::network::NetworkAttachment;
use dhow_runtime::create;
use dhow_store::{Store, new_container_id};

/// BuildKit's default hostname for RUN steps.
const HOSTNAME: &str = "buildkitsandbox";

pub(crate) fn container_spec(context: &StepContext<'_>, step: &RunStep) -> Result<ContainerSpec> {
    let request = context.request;
    if let Some(device) = step.devices.first() {
        let message = format!("RUN --device={device}: dhow hands no devices of CDI to steps of a build");
        return Err(unsupported(message).hint("leave the option out").into());
    }
    let id = new_container_id()?;
    let mut extra_hosts = Vec::new();
    for entry in &request.add_hosts {
        extra_hosts.push(hosts::parse_entry(entry)?);
    }
    let hostname = request.args.get("BUILDKIT_SANDBOX_HOSTNAME").map_or(HOSTNAME, String::as_str);
    let mut spec = ContainerSpec {
        name: format!("build-{}", id.get(..12).unwrap_or_default()),
        id,
        process: ProcessSpec {
            command: Some(step.command.args.clone()),
            env: final_env(&step.env),
            workdir: Some(step.workdir.clone()),
            user: Some(step.user.clone()),
            ..ProcessSpec::default()
        },
        hostname: Some(hostname.into()),
        security: SecuritySpec { privileged: step.insecure, ..SecuritySpec::default() },
        ulimits: request.ulimits.clone(),
        limits: request.limits.clone(),
        cgroup_parent: request.cgroup_parent.clone(),
        shm_size: request.shm_size,
        namespaces: NamespaceSpec::default(),
        extra_hosts,
        ..ContainerSpec::default()
    };
    set_network(context, step, &mut spec)?;
    if spec.namespaces.network != Some(NetworkMode::Networks) {
        // Without a network nothing else adds the hostname to /etc/hosts.
        spec.extra_hosts.push((hostname.into(), "127.0.0.1".into()));
    }
    Ok(spec)
}

/// The variables without repetitions, the last of a name winning, and a default `PATH`.
fn final_env(variables: &[String]) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut env: Vec<String> = Vec::new();
    for entry in variables {
        match env.iter_mut().find(|existing| name(existing) == name(entry)) {
            Some(existing) => existing.clone_from(entry),
            None => env.push(entry.clone()),
        }
    }
    if !env.iter().any(|entry| name(entry) == "PATH") {
        env.insert(0, format!("PATH={DEFAULT_PATH}"));
    }
    env
}

fn set_network(context: &StepContext<'_>, step: &RunStep, spec: &mut ContainerSpec) -> Result<()> {
    let requested = context.request.network.as_str();
    let mode = match step.network.as_deref() {
        None | Some("default") => requested,
        Some("none") => "none",
        Some("host") => "host",
        Some(other) => return Err(invalid(format!("invalid network mode: {}", other.escape_debug())).into()),
    };
    spec.namespaces.network = Some(match mode {
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        name => {
            spec.networks.push(attachment(context.store, name)?);
            NetworkMode::Networks
        }
    });
    Ok(())
}

fn attachment(store: &Store, name: &str) -> Result<NetworkAttachment> {
    let network = match name {
        "" | "default" | "bridge" => store.default_network()?,
        name => store.find_network(name)?,
    };
    let mut attachment = NetworkAttachment::default();
    create::complete_attachment(store, &mut attachment, &network)?;
    Ok(attachment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_variable_of_a_name_wins() {
        let given = ["A=1", "B=2", "A=3"].map(str::to_owned);
        assert_eq!(final_env(&given), [format!("PATH={DEFAULT_PATH}").as_str(), "A=3", "B=2"]);
        assert_eq!(final_env(&["PATH=/x".to_owned()]), ["PATH=/x"]);
    }
}
