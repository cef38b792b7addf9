//! Turns a resolved [`plan::SandboxPlan`] into isolated processes.
//!
//! Four subjects:
//!
//! - **launch**: a container's first process. [`launch`] is the entry; [`nested`] (the usual case: below the network
//!   helper's user namespace) and [`shared`] (joins another container's namespaces) are its variants. All of them end
//!   in `init`, which builds the root file system and execs the program.
//! - **join**: a further process in a running container ([`join`]); [`exec_monitor`] reaps a detached one.
//! - **file system helper**: [`fs_helper`] works on a container's files from the inside, for `cp`, `diff` and the
//!   like.
//! - **facilities**: cgroups, D-Bus, seccomp, capabilities, id maps, process lists. They know nothing of launching.
//!
//! # Invariants
//!
//! Every function that forks requires a process with one thread. A forked child never returns to its caller's code:
//! it ends by exec or by `exit_now`, and reports failures over a `sync_socket` or the helper's own socket.

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
