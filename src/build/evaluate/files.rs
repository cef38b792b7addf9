//! Instructions that change files (`RUN`, `COPY`, `ADD`, `WORKDIR`), as steps.

use super::{Evaluation, joined, refuse};
use crate::build::arguments::PROXIES;
use crate::build::context;
use crate::build::dockerfile::ast::{Copy, Run};
use crate::build::graph::Linked;
use crate::build::plan::{CopyOp, CopySource, InlineFile, Op, RunMount, RunNetwork, RunOp, Tree, WorkdirOp};
use crate::build::{run_command, run_mount};
use crate::error::{Failure, invalid};
use crate::model::digest::Digest;

impl Evaluation<'_, '_> {
    pub(super) fn workdir(&mut self, path: &str, linked: &Linked) -> Result<(), Failure> {
        let path = joined(self.state.workdir(), path);
        self.state.config.run.working_dir.clone_from(&path);
        let user = self.state.config.run.user.clone();
        // Even for `/`, which always exists: the step is counted and shown.
        let step = self.push(Op::Workdir(WorkdirOp { path: path.clone(), user }), linked);
        self.note(format!("WORKDIR {path}"), Some(step));
        Ok(())
    }

    pub(super) fn run_step(&mut self, run: &Run, linked: &Linked) -> Result<(), Failure> {
        let shell = self.state.config.run.shell.clone().unwrap_or_default();
        let command = run_command::argv(&run.command, &shell);
        let mut mounts = Vec::with_capacity(run.mounts.len());
        for (fields, from) in run.mounts.iter().zip(&linked.trees) {
            let mount = run_mount::parse(fields, self.state.workdir())?;
            mounts.push(RunMount { mount, from: from.clone() });
        }
        let history = self.run_text(&command.args);
        let config = &self.state.config.run;
        let op = RunOp {
            command,
            env: self.state.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            hidden_env: self.proxies(),
            user: config.user.clone(),
            workdir: self.state.workdir().to_owned(),
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
        let step = self.push(Op::Run(op), linked);
        self.note(history, Some(step));
        Ok(())
    }

    /// Proxies given as build arguments, in upper and lower case, unless the stage declares them itself.
    fn proxies(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in self.known.given {
            if !PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name)) {
                continue;
            }
            // Programs differ in which spelling they read.
            for name in [name.to_uppercase(), name.to_lowercase()] {
                let entry = format!("{name}={value}");
                if !self.state.env.iter().any(|(known, _)| *known == name) && !found.contains(&entry) {
                    found.push(entry);
                }
            }
        }
        found
    }

    pub(super) fn copy(&mut self, copy: &Copy, add: bool, linked: &Linked) -> Result<(), Failure> {
        let sources: Vec<CopySource> = copy.sources.iter().map(|source| classify(source)).collect();
        check(copy, &sources, add)?;
        let op = CopyOp {
            add,
            from: linked.trees.first().cloned().unwrap_or(Tree::Scratch),
            sources,
            here_docs: copy
                .here_docs
                .iter()
                .map(|doc| InlineFile { name: doc.name.clone(), content: doc.content.clone() })
                .collect(),
            target: context::target(self.state.workdir(), &copy.target),
            chown: copy.chown.clone(),
            chmod: copy.chmod.clone(),
            link: copy.link,
            parents: copy.parents,
            exclude: copy.exclude.clone(),
            checksum: copy.checksum.clone(),
            keep_git_dir: copy.keep_git_dir,
            unpack: copy.unpack,
        };
        let step = self.push(Op::Copy(op), linked);
        self.note(history(copy, add), Some(step));
        Ok(())
    }
}

fn classify(source: &str) -> CopySource {
    let addressed =
        ["http://", "https://", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme));
    // `git@host:path`, scp syntax.
    let at_host = source.split_once('@').is_some_and(|(user, rest)| {
        !user.is_empty()
            && !user.contains(['/', ':'])
            && rest.split('/').next().is_some_and(|host| host.contains(':'))
    });
    match addressed || at_host {
        true => CopySource::Remote(source.to_owned()),
        false => CopySource::Local(source.to_owned()),
    }
}

fn check(copy: &Copy, sources: &[CopySource], add: bool) -> Result<(), Failure> {
    let remote = sources.iter().find_map(|source| match source {
        CopySource::Remote(address) => Some(address.as_str()),
        CopySource::Local(_) => None,
    });
    if let Some(address) = remote.filter(|_| !add) {
        let what = if address.starts_with("http") && !address.contains(".git") { "URL" } else { "git ref" };
        return Err(invalid(format!("source can't be a {what} for COPY")));
    }
    if let Some(checksum) = copy.checksum.as_deref().filter(|checksum| !checksum.is_empty()) {
        refuse(!add, || "checksum can't be specified for COPY".into())?;
        refuse(sources.len() != 1, || "checksum can't be specified for multiple sources".into())?;
        refuse(remote.is_none(), || "checksum requires HTTP(S) or Git sources".into())?;
        // For a git source the checksum is a commit.
        let commit = checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
        refuse(!commit && checksum.parse::<Digest>().is_err(), || {
            format!("invalid checksum digest format: {}", checksum.escape_debug())
        })?;
    }
    // Only checked here: the mode is applied relative to each file's own.
    if let Some(chmod) = copy.chmod.as_deref().filter(|chmod| !chmod.is_empty()) {
        crate::build::dockerfile::mode::parse(chmod)?;
    }
    Ok(())
}

fn history(copy: &Copy, add: bool) -> String {
    let mut line = String::from(if add { "ADD" } else { "COPY" });
    if copy.parents {
        line.push_str(" --parents");
    }
    for (flag, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
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
