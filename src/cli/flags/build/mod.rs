//! The flags of `build`, and the request they make.

mod call;
mod legacy;

use anyhow::Context as _;
use clap::Args;

pub(crate) use self::call::{CallFormat, parse_call};
use self::legacy::LegacyBuildFlags;
use crate::flags::pairs::label_map;
use crate::frame::command::CommandContext;
use crate::frame::usage::UsageError;
use crate::frame::{docker_config, environment, report};
use crate::output;
use crate::output::progress::build::ProgressMode;
use dhow_builder::buildflags::{ClientEnv, args, context, entries, secret};
use dhow_builder::request::{BuildRequest, CallFunc, OptionsEntry};
use dhow_error::{Failure, invalid};
use dhow_model::boolean;
use dhow_model::bytes;
use dhow_model::container::UlimitSpec;
use dhow_model::environment::Environment;
use dhow_model::flags::hosts;
use dhow_model::flags::key_value::{self, KeyValue};
use dhow_model::platform::Platform;
use dhow_model::reference::ImageReference;

/// All flags of `build`.
#[derive(Args)]
pub(crate) struct BuildFlags {
    /// Line for /etc/hosts, NAME:ADDRESS
    #[arg(long, value_name = "HOST")]
    add_host: Vec<String>,
    /// Allow what needs more rights: network.host, security.insecure
    #[arg(long, value_name = "RIGHT")]
    allow: Vec<String>,
    /// Annotation of the image, [TYPE:]KEY=VALUE
    #[arg(long, value_name = "ANNOTATION")]
    annotation: Vec<String>,
    /// Attestation, type=provenance or type=sbom with attributes
    #[arg(long, value_name = "ATTESTATION")]
    attest: Vec<String>,
    /// Value of an ARG, NAME=VALUE, or NAME for that of the environment
    #[arg(long, value_name = "ARGUMENT")]
    build_arg: Vec<String>,
    /// Further context, NAME=DIR|URL|docker-image://IMAGE|oci-layout://DIR
    #[arg(long, value_name = "CONTEXT")]
    build_context: Vec<String>,
    /// Builder, one of `buildx ls`: they are all the same
    #[arg(long, value_name = "NAME")]
    pub(crate) builder: Option<String>,
    /// Cache to take steps from, IMAGE or type=registry|local,…
    #[arg(long, value_name = "CACHE")]
    cache_from: Vec<String>,
    /// Cache to write, type=registry|local|inline,…
    #[arg(long, value_name = "CACHE")]
    cache_to: Vec<String>,
    /// Instead of building: check, outline or targets, with `,format=json` as JSON
    #[arg(long, value_name = "WHAT", default_value = "build", hide_default_value = true)]
    call: String,
    /// Slice of systemd, or directory of delegated control groups, to put those of RUN below
    #[arg(long, value_name = "PARENT", default_value = "", hide_default_value = true)]
    cgroup_parent: String,
    /// The same as --call=check
    #[arg(long)]
    check: bool,
    /// Explain warnings, and show each cause of an error
    #[arg(short = 'D', long)]
    pub(crate) debug: bool,
    /// The Dockerfile, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Write the image's ID into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<String>,
    /// Label of the image, KEY=VALUE
    #[arg(long, value_name = "LABEL", value_parser = key_value::parse_label)]
    label: Vec<KeyValue>,
    /// Put the image into the store, also where another output is asked for
    #[arg(long)]
    load: bool,
    /// Write what came out into this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<String>,
    /// Network of RUN steps: default, none, host, or a network's name
    #[arg(long, value_name = "NETWORK", default_value = "default", hide_default_value = true)]
    network: String,
    /// Carry every step out anew
    #[arg(long)]
    no_cache: bool,
    /// Carry the steps of these stages out anew
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// What to make, DIR, - or type=image|local|tar|oci|docker|registry,…; several are possible
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,
    /// Platforms to build for, os/architecture[/variant]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// What --call was called
    #[arg(long, value_name = "WHAT", hide = true)]
    print: Option<String>,
    /// How to show what goes on: auto, plain, tty, quiet, rawjson
    #[arg(long, value_name = "KIND")]
    progress: Option<ProgressMode>,
    /// Provenance attestation: false, true, or attributes such as mode=max
    #[arg(long, value_name = "ATTRIBUTES")]
    provenance: Option<String>,
    /// Ask the registry for base images that are here already
    #[arg(long)]
    pull: bool,
    /// Push the image
    #[arg(long)]
    push: bool,
    /// Show nothing, and print the image's ID
    #[arg(short, long)]
    quiet: bool,
    /// Go on from the file system that a failed RUN step left
    #[arg(long)]
    resume: bool,
    /// Attestation of what is in the image: false, true, or attributes
    #[arg(long, value_name = "ATTRIBUTES")]
    sbom: Option<String>,
    /// Secret for RUN steps, id=ID[,src=FILE|env=NAME]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Size of /dev/shm in RUN steps
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    shm_size: Option<u64>,
    /// Agent or keys for RUN steps, default or ID=SOCKET|KEY
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,
    /// Name of the image
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
    /// Stage to build, instead of the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Limit on resources of a process in RUN steps, NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<UlimitSpec>,
    #[command(flatten)]
    legacy: LegacyBuildFlags,
    /// The context: a directory, - for standard input, the URL of a git repository, archive or Dockerfile
    #[arg(value_name = "PATH | URL | -")]
    words: Vec<String>,
}

/// A build request, and how its progress and result are shown.
pub(crate) struct BuildInvocation {
    pub(crate) request: BuildRequest,
    pub(crate) mode: ProgressMode,
    /// How the result of `--call` is printed.
    pub(crate) format: CallFormat,
    /// Whether nothing but the image's ID is printed.
    pub(crate) quiet: bool,
}

/// The environment and working directory that the command was invoked in.
pub(crate) fn invocation_env(context: &CommandContext) -> anyhow::Result<ClientEnv> {
    Ok(ClientEnv { environment: environment::with_flags(context), dir: environment::working_dir()? })
}

impl BuildFlags {
    /// Parses the flags and checks everything that needs no file of the context.
    pub(crate) fn into_invocation(mut self, context: &CommandContext) -> anyhow::Result<BuildInvocation> {
        let [main_context] = self.words.as_slice() else {
            let message = format!("'{}' requires 1 argument: PATH, URL or -", context.command_line());
            return Err(UsageError::new(message).into());
        };
        let client_env = invocation_env(context)?;
        check_docker_buildkit(&client_env.environment, context)?;
        let (call, format) = self.call()?;
        let mode = progress_mode(self.progress, self.quiet, &client_env.environment)?;
        let source = context::parse_main(main_context, &client_env)?;
        let (limits, cgroup_parent) = (self.legacy.limits(context)?, self.cgroup_parent.clone());
        let mut args = args::parse_build_args(&self.build_arg, &client_env)?;
        // After the flags, which the configured proxies do not replace.
        docker_config::add_proxy_args(&mut args, context);
        // An epoch from the environment becomes a build argument, unless a flag has set it.
        let epoch = args::parse_epoch(&mut args, &client_env)?;
        let request = BuildRequest {
            dockerfile: context::parse_dockerfile(self.file.as_deref(), &source, &client_env)?,
            contexts: parse_contexts(&self.build_context, &client_env)?,
            tags: check_tags(&self.tag)?,
            // An empty target is the last stage, as in BuildKit.
            target: self.target.take().filter(|target| !target.is_empty()),
            labels: label_map(std::mem::take(&mut self.label)),
            annotations: args::parse_annotations(&self.annotation)?,
            platforms: parse_platforms(&self.platform)?,
            no_cache: self.no_cache,
            no_cache_filter: std::mem::take(&mut self.no_cache_filter),
            pull: self.pull,
            outputs: self.outputs()?,
            cache_from: parse_caches(&self.cache_from)?,
            cache_to: parse_caches(&self.cache_to)?,
            attests: self.attests(&client_env.environment)?,
            secrets: parse_each(&self.secret, |text| secret::parse_secret(text, &client_env))?,
            ssh: parse_each(&self.ssh, |text| secret::parse_ssh(text, &client_env))?,
            add_hosts: parse_each(&self.add_host, |text| {
                hosts::parse_entry(text).map(|(name, address)| format!("{name}:{address}"))
            })?,
            network: std::mem::take(&mut self.network),
            shm_size: self.shm_size.filter(|size| *size > 0),
            ulimits: std::mem::take(&mut self.ulimit),
            allow: parse_each(&self.allow, check_entitlement)?,
            context: source,
            resume: self.resume,
            limits,
            cgroup_parent,
            args,
            call,
            epoch,
        };
        Ok(BuildInvocation { request, mode, format, quiet: self.quiet })
    }

    fn call(&self) -> Result<(CallFunc, CallFormat), Failure> {
        match (self.check, &self.print) {
            (true, _) => parse_call("check"),
            (false, Some(print)) => parse_call(print),
            (false, None) => parse_call(&self.call),
        }
    }

    fn outputs(&self) -> Result<Vec<OptionsEntry>, Failure> {
        let mut outputs = parse_each(&self.output, entries::parse_output)?;
        // Before --push and --load add outputs, which never go to standard output.
        outputs.iter().try_for_each(check_output)?;
        if self.push {
            entries::apply_push(&mut outputs);
        }
        if self.load {
            entries::apply_load(&mut outputs);
        }
        Ok(outputs)
    }

    fn attests(&self, environment: &Environment) -> Result<Vec<OptionsEntry>, Failure> {
        let mut attests = parse_each(&self.attest, entries::parse_attest)?;
        for (kind, given) in [("provenance", &self.provenance), ("sbom", &self.sbom)] {
            // These flags are short for --attest, so giving both is a duplicate.
            if let Some(text) = given {
                attests.push(entries::parse_short_attest(kind, text)?);
            }
        }
        entries::merge_attests(with_default_provenance(attests, environment))
    }
}

/// Adds `provenance=false` if `BUILDX_NO_DEFAULT_ATTESTATIONS` is set and no flag is about provenance.
/// Otherwise the builder adds provenance by default.
pub(crate) fn with_default_provenance(
    mut attests: Vec<OptionsEntry>,
    environment: &Environment,
) -> Vec<OptionsEntry> {
    let off = environment.text("BUILDX_NO_DEFAULT_ATTESTATIONS").and_then(boolean::parse) == Some(true);
    if off && !attests.iter().any(|attest| attest.kind == "provenance") {
        attests.extend(entries::parse_short_attest("provenance", "false"));
    }
    attests
}

/// Checks `DOCKER_BUILDKIT`, by which docker chooses between its two builders.
fn check_docker_buildkit(environment: &Environment, context: &CommandContext) -> Result<(), Failure> {
    match environment.text("DOCKER_BUILDKIT").map(boolean::parse) {
        None | Some(Some(true)) => Ok(()),
        Some(Some(false)) => {
            report::warn(
                context,
                "DOCKER_BUILDKIT=0: dhow has no legacy builder, and builds as BuildKit does",
            );
            Ok(())
        }
        // docker's own words: it does not guess what another value means, either.
        Some(None) => Err(invalid("DOCKER_BUILDKIT environment variable expects boolean value")),
    }
}

/// The progress mode: the flag, else `BUILDKIT_PROGRESS`.
pub(crate) fn progress_mode(
    flag: Option<ProgressMode>,
    quiet: bool,
    environment: &Environment,
) -> anyhow::Result<ProgressMode> {
    if quiet {
        return match flag {
            // Any other progress would print something, so buildx refuses it with --quiet.
            None | Some(ProgressMode::Auto | ProgressMode::Quiet) => Ok(ProgressMode::Quiet),
            Some(_) => Err(invalid("progress=quiet and quiet cannot be used with another --progress").into()),
        };
    }
    match (flag, environment.text("BUILDKIT_PROGRESS")) {
        (Some(mode), _) => Ok(mode),
        (None, Some(text)) => text.parse().context("cannot use BUILDKIT_PROGRESS"),
        (None, None) => Ok(ProgressMode::Auto),
    }
}

/// Parses each of `texts`.
pub(crate) fn parse_each<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Parses the caches of several flags, each of which may name several.
fn parse_caches(texts: &[String]) -> Result<Vec<OptionsEntry>, Failure> {
    Ok(parse_each(texts, entries::parse_cache)?.into_iter().flatten().collect())
}

/// Parses platforms; `local` is the host's. Without any, `DOCKER_DEFAULT_PLATFORM` applies.
pub(crate) fn parse_platforms(texts: &[String]) -> anyhow::Result<Vec<Platform>> {
    let parse = |text: &str| if text == "local" { Ok(Platform::host()) } else { text.parse() };
    let mut platforms: Vec<Platform> = Vec::new();
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let platform = parse(text)?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.extend(environment::default_platform()?);
    }
    Ok(platforms)
}

/// Checks the names given to an image.
pub(crate) fn check_tags(texts: &[String]) -> Result<Vec<String>, Failure> {
    let check = |text: &str| match text.parse::<ImageReference>() {
        Ok(name) if name.digest().is_some() => {
            Err(invalid(format!("invalid tag {text:?}: refusing to create a tag with a digest reference")))
        }
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(invalid(format!("invalid tag {text:?}: {why}"))),
    };
    texts.iter().filter(|text| !text.is_empty()).map(|text| check(text)).collect()
}

/// Refuses to write an archive to a terminal.
pub(crate) fn check_output(entry: &OptionsEntry) -> Result<(), Failure> {
    let to_stdout = entry.attributes.get("dest").is_some_and(|dest| dest == "-");
    if to_stdout && output::stdout_is_terminal() {
        let kind = &entry.kind;
        return Err(invalid(format!(
            "dest file is required for {kind} exporter. refusing to write to console"
        )));
    }
    Ok(())
}

fn parse_contexts(
    texts: &[String],
    client_env: &ClientEnv,
) -> Result<std::collections::BTreeMap<String, dhow_builder::request::ContextSource>, Failure> {
    texts.iter().map(|text| context::parse_named(text, client_env)).collect()
}

/// Checks an entitlement of `--allow`.
pub(crate) fn check_entitlement(text: &str) -> Result<String, Failure> {
    let name = text.split('=').next().unwrap_or(text);
    match name {
        // A value may follow, as in `device=NAME`.
        "network.host" | "security.insecure" | "device" => Ok(text.to_owned()),
        // For bake: paths that it may read and write, and SSH agents that it may use.
        "fs" | "fs.read" | "fs.write" | "ssh" | "image.resolve" => Ok(text.to_owned()),
        _ => Err(invalid(format!("invalid entitlement: unknown entitlement {}", text.escape_debug()))
            .hint("there are: network.host, security.insecure")),
    }
}
