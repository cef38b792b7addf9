//! Instructions that change files (`RUN`, `COPY`, `ADD`, `WORKDIR`), as steps.

use super::{StageEvaluator, reject_if, windows};
use crate::arguments::PROXIES;
use crate::ast::{CopyInstruction, RunInstruction};
use crate::context;
use crate::graph::LinkedInstruction;
use crate::path_pattern::clean_join;
use crate::plan::{CopyOp, CopySource, InlineFile, InputTree, Op, RunMount, RunNetwork, RunOp, WorkdirOp};
use crate::remote_address::{RemoteKind, remote_source};
use crate::{run_command, run_mount};
use dhow_error::{Failure, invalid};
use dhow_model::digest::Digest;

impl StageEvaluator<'_, '_> {
    pub(super) fn workdir(&mut self, path: &str, linked: &LinkedInstruction) -> Result<(), Failure> {
        let os = &self.state.platform.os;
        let path = clean_join(&self.state.workdir(), &windows::slashed(os, path)?);
        self.state.config.run.working_dir = windows::configured(os, &path);
        let user = self.state.config.run.user.clone();
        // Even for `/`, which always exists: the step is counted and shown.
        let step = self.push_step(Op::Workdir(WorkdirOp { path: path.clone(), user }), linked);
        self.add_history(format!("WORKDIR {path}"), Some(step));
        Ok(())
    }

    pub(super) fn run_instruction(
        &mut self,
        run: &RunInstruction,
        linked: &LinkedInstruction,
    ) -> Result<(), Failure> {
        let shell = self.state.config.run.shell.clone().unwrap_or_default();
        let command = run_command::run_argv(&run.command, &shell);
        let mut mounts = Vec::with_capacity(run.mounts.len());
        for (fields, from) in run.mounts.iter().zip(&linked.trees) {
            let mount = run_mount::parse(fields, self.state.known_workdir().as_deref())?;
            // The graph does not know a type that has a variable.
            let from = if mount.has_input() { from.clone() } else { InputTree::Scratch };
            mounts.push(RunMount { mount, from });
        }
        let history = self.run_history_text(&command.args);
        let config = &self.state.config.run;
        let op = RunOp {
            command,
            env: self.state.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            hidden_env: self.proxies(),
            user: config.user.clone(),
            workdir: self.state.workdir(),
            mounts,
            network: match run.network.as_deref() {
                None | Some("default" | "") => RunNetwork::Default,
                Some("none") => RunNetwork::None,
                Some("host") => RunNetwork::Host,
                Some(other) => return Err(invalid(format!("unsupported network mode \"{other}\""))),
            },
            insecure: match run.security.as_deref() {
                None | Some("sandbox" | "") => false,
                Some("insecure") => true,
                Some(other) => return Err(invalid(format!("unsupported security mode \"{other}\""))),
            },
            devices: run.devices.clone(),
        };
        let step = self.push_step(Op::Run(op), linked);
        self.add_history(history, Some(step));
        Ok(())
    }

    /// Proxies given as build arguments, in upper and lower case, unless the stage declares them itself.
    fn proxies(&self) -> Vec<String> {
        let mut proxies = Vec::new();
        for (name, value) in self.inputs.build_args {
            if !PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name)) {
                continue;
            }
            // Programs differ in which spelling they read.
            for name in [name.to_uppercase(), name.to_lowercase()] {
                let entry = format!("{name}={value}");
                if !self.state.env.iter().any(|(declared, _)| *declared == name) && !proxies.contains(&entry)
                {
                    proxies.push(entry);
                }
            }
        }
        proxies
    }

    pub(super) fn copy(
        &mut self,
        copy: &CopyInstruction,
        add: bool,
        linked: &LinkedInstruction,
    ) -> Result<(), Failure> {
        let sources: Vec<CopySource> = copy.sources.iter().map(|source| classify_source(source)).collect();
        check_copy(copy, &sources, add)?;
        let target = windows::slashed(&self.state.platform.os, &copy.target)?;
        let op = CopyOp {
            add,
            from: linked.trees.first().cloned().unwrap_or(InputTree::Scratch),
            sources,
            here_docs: copy
                .here_docs
                .iter()
                .map(|doc| InlineFile { name: doc.name.clone(), content: doc.content.clone() })
                .collect(),
            target: context::resolve_target_path(&self.state.workdir(), &target),
            flags: copy.flags.clone(),
            checksum: copy.checksum.clone(),
            keep_git_dir: copy.keep_git_dir,
            unpack: copy.unpack,
        };
        let step = self.push_step(Op::Copy(op), linked);
        self.add_history(copy_history(copy, add), Some(step));
        Ok(())
    }
}

fn classify_source(source: &str) -> CopySource {
    match remote_source(source) {
        Some(_) => CopySource::Remote(source.to_owned()),
        None => CopySource::Local(source.to_owned()),
    }
}

fn check_copy(copy: &CopyInstruction, sources: &[CopySource], add: bool) -> Result<(), Failure> {
    let remote = sources.iter().find_map(|source| match source {
        CopySource::Remote(address) => Some(address.as_str()),
        CopySource::Local(_) => None,
    });
    if let Some(address) = remote.filter(|_| !add) {
        let kind = if remote_source(address) == Some(RemoteKind::Http) { "URL" } else { "git ref" };
        return Err(invalid(format!("source can't be a {kind} for COPY")));
    }
    if let Some(checksum) = copy.checksum.as_deref().filter(|checksum| !checksum.is_empty()) {
        reject_if(!add, || "checksum can't be specified for COPY".into())?;
        reject_if(sources.len() != 1, || "checksum can't be specified for multiple sources".into())?;
        reject_if(remote.is_none(), || "checksum requires HTTP(S) or Git sources".into())?;
        // For a git source the checksum is a commit.
        let commit = checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
        reject_if(!commit && checksum.parse::<Digest>().is_err(), || {
            format!("invalid checksum digest format: {}", checksum.escape_debug())
        })?;
    }
    // Only checked here: the mode is applied relative to each file's own.
    if let Some(chmod) = copy.flags.chmod.as_deref().filter(|chmod| !chmod.is_empty()) {
        crate::dockerfile::chmod::parse(chmod)?;
    }
    Ok(())
}

fn copy_history(copy: &CopyInstruction, add: bool) -> String {
    let mut line = String::from(if add { "ADD" } else { "COPY" });
    if copy.flags.parents {
        line.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.flags.chown), ("chmod", &copy.flags.chmod)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            line.push_str(&format!(" --{flag}={value}"));
        }
    }
    for source in &copy.sources {
        line.push_str(&format!(" {source}"));
    }
    for doc in &copy.here_docs {
        line.push_str(&format!(" <<{}", doc.name));
    }
    format!("{line} {} # buildkit", copy.target)
}
