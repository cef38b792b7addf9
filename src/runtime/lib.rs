//! The container runtime: one container's life, whoever asked for it. It knows neither registries nor builds.
//!
//! # The life of a container
//!
//! ```text
//! create ──▶ plan ──▶ spawn ──▶ supervisor ──▶ remove
//!                      fork       │  ▲
//!            commands ────────────┘  └── network helper
//!             control, attach             network
//! ```
//!
//! - `create` turns a request into a container that is registered in the store.
//! - `plan` turns its specification into the sandbox's plan.
//! - `spawn` forks the supervisor, which owns the container from then on and outlives the command.
//! - `control` finds the supervisor of a container, or takes the container's lock if there is none.
//! - `attach` connects a command's stdio, terminal and signals to a container.
//! - `network` holds the container's lease at the network helper.
//! - `recover` cleans up after a supervisor that was killed; `remove` removes a container with its files.
//!
//! # Terms
//!
//! - **Lock**: the container's lock file. Whoever holds it owns the container; the supervisor holds it as long as the
//!   container runs or waits to be restarted.
//! - **State**: `state.json`, what is remembered of the last run. Only the holder of the lock writes it.
//! - **First process**: the container's PID 1 (or the process in its place, where the PID namespace is shared).
//! - **Donor**: the running container whose namespaces another one shares.
//!
//! # Processes
//!
//! A command is single-threaded until it has forked: the supervisor, the helper process that works in a container's
//! file system and the work in a user namespace are forks without exec.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod attach;
pub mod cgroup;
pub mod control;
pub mod create;
pub mod first_process;
pub(crate) mod log;
pub mod network;
pub mod plan;
pub mod process;
pub mod process_limits;
pub(crate) mod recover;
pub mod remove;
pub mod rootfs_view;
pub(crate) mod shared_namespaces;
pub mod spawn;
pub mod start_plan;
pub mod state;
pub(crate) mod supervisor;
pub mod userns;
mod variables;
pub(crate) mod volumes_from;
