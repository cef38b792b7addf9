//! Merges an image's defaults into the specification, by docker's rules.

use anyhow::Result;

use crate::variables::{is_set, merge_variables};
use dhow_error::unsupported;
use dhow_model::container::ContainerSpec;
use dhow_model::environment::DEFAULT_PATH;
use dhow_model::image::{ImageConfig, RunConfig};
use dhow_model::mount::{MountSource, MountSpec};
use dhow_sys::fs::clean_absolute;

pub(crate) fn apply_image_defaults(spec: &mut ContainerSpec, image: &ImageConfig) -> Result<()> {
    if image.os != "linux" && !image.os.is_empty() {
        return Err(unsupported(format!(
            "the image is for `{}`; dhow runs images for Linux",
            image.os.escape_debug()
        ))
        .into());
    }
    let defaults = &image.config;
    command(spec, defaults);
    let process = &mut spec.process;
    process.env = environment(&defaults.env, &process.env);
    if process.workdir.is_none() && !defaults.working_dir.is_empty() {
        process.workdir = Some(defaults.working_dir.clone());
    }
    if process.user.is_none() && !defaults.user.is_empty() {
        process.user = Some(defaults.user.clone());
    }
    for (name, value) in defaults.labels.iter().flatten() {
        spec.labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if spec.stop_signal.is_none() && !defaults.stop_signal.is_empty() {
        spec.stop_signal = Some(defaults.stop_signal.clone());
    }
    spec.exposed_ports.extend(defaults.exposed_ports.keys().cloned());
    spec.stop_timeout = spec.stop_timeout.or(defaults.stop_timeout);
    health(spec, defaults);
    volumes(spec, defaults);
    Ok(())
}

/// An entrypoint on the command line also discards the image's command.
fn command(spec: &mut ContainerSpec, defaults: &RunConfig) {
    let process = &mut spec.process;
    let has_command = process.command.as_ref().is_some_and(|command| !command.is_empty());
    if process.entrypoint.is_none() {
        process.entrypoint = defaults.entrypoint.clone();
        if !has_command {
            process.command = defaults.cmd.clone();
        }
    }
}

/// The image's variables, then the user's.
fn environment(image: &[String], user: &[String]) -> Vec<String> {
    // First, so that a PATH of the image or the user replaces it.
    merge_variables(vec![format!("PATH={DEFAULT_PATH}")], image.iter().chain(user))
}

/// A health check that is not in docker's form is ignored, as docker does.
fn health(spec: &mut ContainerSpec, defaults: &RunConfig) {
    let image = defaults.healthcheck.clone().and_then(|check| serde_json::from_value(check).ok());
    spec.health = std::mem::take(&mut spec.health).with_defaults(&image.unwrap_or_default());
    spec.shell.clone_from(&defaults.shell);
}

/// Each volume that the image declares becomes an anonymous one, unless something is mounted there.
fn volumes(spec: &mut ContainerSpec, defaults: &RunConfig) {
    for path in defaults.volumes.keys() {
        let target = clean_absolute(path.as_ref());
        if spec.mounts.iter().any(|mount| clean_absolute(mount.target.as_ref()) == target) {
            continue;
        }
        let source = MountSource::Volume {
            name: None,
            anonymous: true,
            no_copy: false,
            subpath: None,
            setup: Default::default(),
        };
        spec.mounts.push(MountSpec {
            target: target.to_string_lossy().into_owned(),
            source,
            read_only: false,
        });
    }
}

/// What every container gets whether its image says so or not: a host name, `HOSTNAME` and `TERM`, names for
/// its volumes.
pub(crate) fn fill_in_environment(spec: &mut ContainerSpec) {
    let short = spec.short_id().to_owned();
    let hostname = match spec.namespaces.uts_host {
        true => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        false => spec.hostname.get_or_insert(short).clone(),
    };
    let process = &mut spec.process;
    // A container from --rootfs has no image to bring a PATH.
    if process.env.is_empty() {
        process.env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if process.tty && !is_set(&process.env, "TERM") {
        process.env.push("TERM=xterm".into());
    }
    if !is_set(&process.env, "HOSTNAME") {
        process.env.push(format!("HOSTNAME={hostname}"));
    }
    name_volumes(spec);
}

/// Names of anonymous volumes derive from the container's ID, so no second source of random names is needed.
fn name_volumes(spec: &mut ContainerSpec) {
    for (index, mount) in (0_u32..).zip(&mut spec.mounts) {
        if let MountSource::Volume { name: name @ None, anonymous, .. } = &mut mount.source {
            let digest = dhow_model::digest::Digest::of(format!("{}/{index}", spec.id).as_bytes());
            *name = Some(digest.hex().to_owned());
            *anonymous = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        let config = RunConfig {
            entrypoint: Some(vec!["/entry".into()]),
            cmd: Some(vec!["default".into()]),
            env: vec!["PATH=/opt".into(), "A=1".into()],
            volumes: [
                ("/data/".to_owned(), serde_json::json!({})),
                ("/logs".to_owned(), serde_json::json!({})),
            ]
            .into(),
            ..RunConfig::default()
        };
        ImageConfig { os: "linux".into(), config, ..ImageConfig::default() }
    }

    fn merged(change: impl FnOnce(&mut ContainerSpec)) -> ContainerSpec {
        let mut spec = ContainerSpec { id: "a".repeat(64), ..ContainerSpec::default() };
        change(&mut spec);
        apply_image_defaults(&mut spec, &image()).unwrap();
        fill_in_environment(&mut spec);
        spec
    }

    #[test]
    fn entry_point_and_command_combine_as_dockers() {
        let args = |spec: ContainerSpec| (spec.process.entrypoint, spec.process.command);
        let list = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(args(merged(|_| {})), (list(&["/entry"]), list(&["default"])));
        assert_eq!(args(merged(|s| s.process.command = list(&["x"]))), (list(&["/entry"]), list(&["x"])));
        assert_eq!(args(merged(|s| s.process.entrypoint = list(&["e"]))), (list(&["e"]), None));
        assert_eq!(args(merged(|s| s.process.entrypoint = Some(vec![]))), (Some(vec![]), None));
    }

    #[test]
    fn variables_are_overridden_in_place() {
        let spec = merged(|s| s.process.env = vec!["A=2".into(), "B=".into(), "HOSTNAME=h".into()]);
        assert_eq!(spec.process.env, ["PATH=/opt", "A=2", "B=", "HOSTNAME=h"]);
        let spec = merged(|s| s.process.env = vec!["A".into(), "B".into(), "HOSTNAME=h".into()]);
        assert_eq!(spec.process.env, ["PATH=/opt", "HOSTNAME=h"]);
    }

    #[test]
    fn volumes_of_the_image_are_named_unless_covered() {
        let bind = MountSource::Tmpfs { size: None, mode: None, options: vec![] };
        let spec =
            merged(|s| s.mounts.push(MountSpec { target: "/data".into(), source: bind, read_only: false }));
        assert_eq!(spec.mounts.len(), 2);
        assert!(
            matches!(&spec.mounts[1].source, MountSource::Volume { name: Some(name), anonymous: true, .. } if name.len() == 64)
        );
    }
}
