//! Turns a resolved [`plan::SandboxPlan`] into isolated processes.
//!
//! Four subjects:
//!
//! - [`launch`]: a container's first process. However it was cloned, it continues in `launch/init.rs`, where [`rootfs`]
//!   builds the root file system, [`confine`] drops privileges, and the program is executed.
//! - [`join`]: a further process in a running container; [`join::exec_monitor`] reaps a detached one.
//! - [`fs_helper`]: a helper that works on a container's files from the inside, for `cp`, `diff` and the like.
//! - facilities, which know nothing of launching: [`cgroup`], [`seccomp`], [`caps`], [`identity`] (id maps),
//!   [`processes`], [`pause`], [`proc_usage`]; [`reaper`] is the init of `--init`.
//!
//! # Invariants
//!
//! Every function that forks requires a process with one thread. A forked child never returns to its caller's code:
//! it ends by exec or by `exit_now`, and reports failures over a `sync_socket` or the helper's own socket.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod caps;
pub mod cgroup;
pub mod confine;
mod dbus;
pub mod fs_helper;
pub mod identity;
pub mod join;
pub mod launch;
pub mod pause;
pub mod plan;
pub mod proc_usage;
pub mod processes;
pub mod reaper;
pub mod rootfs;
pub mod seccomp;
mod sync_socket;
