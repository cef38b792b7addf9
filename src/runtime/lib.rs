//! TODO-HEADER runtime

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
pub(crate) mod recover;
pub mod remove;
pub mod rootfs_view;
pub(crate) mod shared_namespaces;
pub mod spawn;
pub mod state;
pub(crate) mod supervisor;
pub mod userns;
pub(crate) mod volumes_from;
