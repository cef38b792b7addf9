//! A resolved plan into isolated processes.

pub mod caps;
mod channel;
mod copy_up;
pub mod identity;
mod init;
pub mod launch;
mod overlay;
pub mod plan;
pub mod processes;
mod program;
pub mod reaper;
mod rootfs;
pub mod seccomp;
pub mod user;
pub mod visit;
