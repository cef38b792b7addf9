//! The mounts of a step, in addition to those of every container.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::cache_mounts::{self, HeldCacheMount};
use super::ssh_agent::{self, AgentForwarder};
use super::{MountFrom, RunStep, StepContext, StepMount};
use crate::request::{MAX_SECRET, SecretFrom};
use dhow_build::run_command::SCRIPTS;
use dhow_build::run_mount::{RunMountKind, RunMountSpec};
use dhow_error::{Failure, FailureKind, invalid, not_found};
use dhow_sandbox::plan::{
    BindMount, MountAttributes, MountKind, MountPropagation, OverlayLayers, PlannedMount,
};
use dhow_store::{LayerDraft, write_new};

/// A step's mounts, and what must live as long as they do.
pub(crate) struct PreparedMounts {
    /// Parents before children.
    pub mounts: Vec<PlannedMount>,
    /// Environment variables that come with them.
    pub env: Vec<String>,
    pub(crate) caches: Vec<HeldCacheMount>,
    _agents: Vec<AgentForwarder>,
}

/// Prepares the mounts of `step`. Scratch files go into the scratch directory of `draft`.
pub(crate) fn prepare_mounts(
    context: &StepContext<'_>,
    step: &RunStep,
    draft: &LayerDraft,
) -> Result<PreparedMounts> {
    let caches = cache_mounts::hold_cache_mounts(context.store, &step.mounts)?;
    let mut builder = MountBuilder {
        context,
        draft,
        scratch_dirs: 0,
        mounts: Vec::new(),
        env: Vec::new(),
        agents: Vec::new(),
    };
    for (index, step_mount) in step.mounts.iter().enumerate() {
        builder
            .mount(index, step_mount, &caches)
            .with_context(|| format!("mounting `{}`", step_mount.mount.target))?;
    }
    builder.scripts(&step.command.scripts)?;
    let MountBuilder { mut mounts, env, agents, .. } = builder;
    // A stable sort by depth: parents first, equal targets in the given order.
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(PreparedMounts { mounts, env, caches, _agents: agents })
}

struct MountBuilder<'a> {
    context: &'a StepContext<'a>,
    draft: &'a LayerDraft,
    scratch_dirs: u32,
    mounts: Vec<PlannedMount>,
    env: Vec<String>,
    agents: Vec<AgentForwarder>,
}

impl MountBuilder<'_> {
    fn mount(
        &mut self,
        index: usize,
        StepMount { mount, from }: &StepMount,
        caches: &[HeldCacheMount],
    ) -> Result<()> {
        match mount.kind {
            RunMountKind::Bind => {
                let kind = self.source_mount(from, &mount.source, mount.read_only)?;
                self.add(&mount.target, kind);
            }
            RunMountKind::Cache => {
                let held = caches.iter().find(|held| held.mounts.contains(&index));
                let held = held.context("the cache was not taken")?;
                self.cache(mount, from, held)?;
            }
            RunMountKind::Tmpfs => self.add(&mount.target, tmpfs(mount)),
            RunMountKind::Secret => self.secret(mount)?,
            RunMountKind::Ssh => self.ssh(index, mount)?,
        }
        Ok(())
    }

    fn add(&mut self, target: &str, kind: MountKind) {
        self.mounts.push(PlannedMount { target: target.to_owned(), kind });
    }

    /// A mount of `source` within `from`.
    fn source_mount(&mut self, from: &MountFrom, source: &str, read_only: bool) -> Result<MountKind> {
        let store = self.context.store;
        let lower = match from {
            MountFrom::Nothing => Vec::new(),
            MountFrom::Layers(layers) => layers.iter().rev().map(|layer| store.layer_tree(layer)).collect(),
            // Nothing to protect and nothing to hide: a bind mount will do.
            MountFrom::Directory { path, hidden } if read_only && hidden.is_empty() => {
                return Ok(MountKind::Bind(bind_mount(path, Some(source), true)));
            }
            MountFrom::Directory { path, hidden } => {
                let mut lower = vec![path.clone()];
                if !hidden.is_empty() {
                    lower.insert(0, self.whiteout_layer(path, hidden)?);
                }
                lower
            }
        };
        self.overlay_mount(lower, source, read_only)
    }

    /// An overlay of `lower`, uppermost first, with an upper directory that is discarded.
    fn overlay_mount(&mut self, mut lower: Vec<PathBuf>, source: &str, read_only: bool) -> Result<MountKind> {
        if lower.is_empty() {
            lower.push(self.scratch("empty")?);
        }
        let stage = self.scratch("mount")?;
        let name = stage.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let upper = self.draft.scratch_dir(&format!("{name}/upper"))?;
        let work = self.draft.scratch_dir(&format!("{name}/work"))?;
        let base = self.context.store.root().to_owned();
        let relative = |path: PathBuf| path.strip_prefix(&base).map(ToOwned::to_owned).unwrap_or(path);
        let overlay = OverlayLayers {
            lower: lower.into_iter().map(relative).collect(),
            upper: relative(upper),
            work: relative(work),
            volatile: true,
            must_persist: false,
            base: base.clone(),
        };
        Ok(MountKind::EphemeralOverlay { overlay, stage, subpath: source.to_owned(), read_only })
    }

    /// A new directory, removed with the draft.
    fn scratch(&mut self, name: &str) -> Result<PathBuf> {
        self.scratch_dirs += 1;
        self.draft.scratch_dir(&format!("{name}-{}", self.scratch_dirs))
    }

    /// A layer of whiteouts that hides the given paths of the directory `path`.
    fn whiteout_layer(&mut self, path: &Path, hidden: &[PathBuf]) -> Result<PathBuf> {
        use rustix::fs::{AtFlags, CWD, FileType, Mode, mknodat};
        let layer = self.scratch("hidden")?;
        let mut created = BTreeSet::new();
        for hidden_path in hidden {
            let mut ancestors: Vec<&Path> =
                hidden_path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
            ancestors.reverse();
            for dir in ancestors {
                if created.insert(dir.to_owned()) {
                    // The directory in this layer determines the mode of the merged one.
                    let stat = rustix::fs::stat(path.join(dir))?;
                    let target = layer.join(dir);
                    rustix::fs::mkdirat(CWD, &target, Mode::RWXU)?;
                    // Writable for its owner in any case, who creates the whiteouts.
                    rustix::fs::chmodat(
                        CWD,
                        &target,
                        Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU,
                        AtFlags::empty(),
                    )?;
                }
            }
            // A character device 0:0 is overlayfs's whiteout.
            mknodat(CWD, layer.join(hidden_path), FileType::CharacterDevice, Mode::empty(), 0)
                .with_context(|| format!("hiding `{}` of the context", hidden_path.display()))?;
        }
        Ok(layer)
    }

    fn cache(&mut self, mount: &RunMountSpec, from: &MountFrom, held: &HeldCacheMount) -> Result<()> {
        let starts_with_content = match from {
            MountFrom::Nothing => false,
            MountFrom::Layers(layers) => !layers.is_empty(),
            MountFrom::Directory { .. } => true,
        };
        let is_new = held.cache.is_new();
        let fill = is_new && starts_with_content;
        if fill {
            // A new cache is filled from the directory mounted underneath (`copy_up`).
            let kind = self.source_mount(from, &mount.source, true)?;
            self.add(&mount.target, kind);
        }
        let bind = BindMount { copy_up: fill, ..bind_mount(&held.cache.files(), None, mount.read_only) };
        let kind = match is_new && !fill {
            true => MountKind::OwnedBind {
                bind,
                mode: mount.mode.unwrap_or(0o755),
                owner: (mount.uid, mount.gid),
            },
            false => MountKind::Bind(bind),
        };
        self.add(&mount.target, kind);
        Ok(())
    }

    fn secret(&mut self, mount: &RunMountSpec) -> Result<()> {
        let source = self.context.request.secrets.iter().find(|secret| secret.id == mount.id);
        let Some(secret) = source else {
            return match mount.required {
                false => Ok(()),
                true => Err(not_found(format!("secret {}: not found", mount.id))
                    .hint(format!("give it with `--secret id={},src=FILE`", mount.id))
                    .into()),
            };
        };
        let content = match &secret.from {
            SecretFrom::Value(value) => value.clone(),
            SecretFrom::File(path) => read_secret(&mount.id, path)?,
        };
        if content.len() as u64 > MAX_SECRET {
            return Err(invalid(format!("secret {}: larger than 500 KiB", mount.id)).into());
        }
        if let Some(name) = &mount.env {
            // An environment variable ends at a NUL byte.
            let text = String::from_utf8(content.clone()).ok().filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| {
                invalid(format!("secret {}: it is not text, so no variable can hold it", mount.id))
            })?;
            self.env.push(format!("{name}={text}"));
        }
        if !mount.target.is_empty() {
            let (mode, owner) = (mount.mode.unwrap_or(0o400), (mount.uid, mount.gid));
            self.add(&mount.target, MountKind::File { content, mode, read_only: true, owner });
        }
        Ok(())
    }

    fn ssh(&mut self, index: usize, mount: &RunMountSpec) -> Result<()> {
        let Some(source) = ssh_agent::agent_source(self.context, mount)? else { return Ok(()) };
        let dir = self.scratch("agent")?;
        let agent = AgentForwarder::start(source, &dir)?;
        // Several mounts may use the default target, so each gets a suffix.
        let target = match mount.target.as_str() {
            ssh_agent::DEFAULT_SOCKET => format!("{}.{index}", ssh_agent::DEFAULT_SOCKET),
            target => target.to_owned(),
        };
        // With several agents the variable names the first.
        if self.agents.is_empty() {
            self.env.push(format!("SSH_AUTH_SOCK={target}"));
        }
        let bind = BindMount { recursive: false, ..bind_mount(agent.socket(), None, false) };
        let mode = mount.mode.unwrap_or(0o600);
        self.add(&target, MountKind::OwnedBind { bind, mode, owner: (mount.uid, mount.gid) });
        self.agents.push(agent);
        Ok(())
    }

    /// Here-documents that are scripts, bind-mounted from a scratch directory.
    fn scripts(&mut self, scripts: &[(String, String)]) -> Result<()> {
        if scripts.is_empty() {
            return Ok(());
        }
        let dir = self.scratch("pipes")?;
        for (name, content) in scripts {
            // The name is from the Dockerfile and must not lead out of the directory.
            if name.contains('/') || name == ".." || name == "." {
                return Err(invalid(format!("a here-document cannot be called `{name}`")).into());
            }
            write_new(&dir.join(name), content.as_bytes(), 0o755)?;
        }
        self.add(SCRIPTS, MountKind::Bind(bind_mount(&dir, None, true)));
        Ok(())
    }
}

/// A bind mount of the host's `path`, or of `inside` below it.
fn bind_mount(path: &Path, subpath: Option<&str>, read_only: bool) -> BindMount {
    BindMount {
        source: path.to_owned(),
        subpath: subpath.filter(|subpath| *subpath != "/").map(str::to_owned),
        recursive: true,
        flags: MountAttributes { read_only, ..MountAttributes::default() },
        recursive_flags: true,
        propagation: MountPropagation::Private,
        copy_up: false,
        optional: false,
    }
}

/// As in BuildKit: without noexec.
fn tmpfs(mount: &RunMountSpec) -> MountKind {
    let size = (mount.size > 0).then(|| ("size".to_owned(), Some(mount.size.to_string())));
    let mode = ("mode".to_owned(), Some("1777".to_owned()));
    MountKind::Tmpfs {
        params: size.into_iter().chain([mode]).collect(),
        flags: MountAttributes { read_only: mount.read_only, nosuid: true, ..MountAttributes::default() },
        keep_mode: false,
    }
}

fn read_secret(id: &str, path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let mut content = Vec::new();
        // One byte more than allowed shows that the file is too large.
        std::fs::File::open(path)?.take(MAX_SECRET + 1).read_to_end(&mut content)?;
        Ok::<_, std::io::Error>(content)
    };
    read().map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => FailureKind::NotFound,
            _ => FailureKind::Denied,
        };
        Failure::new(kind, format!("secret {id}: cannot read `{}`: {error}", path.display())).into()
    })
}
