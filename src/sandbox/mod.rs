//! A resolved plan into isolated processes.

mod alias;
pub mod below;
pub mod caps;
pub mod cgroup;
mod channel;
mod confine;
mod copy_up;
mod dbus;
pub mod identity;
pub mod idmap;
mod init;
pub mod join;
pub mod keeper;
pub mod kin;
pub mod launch;
pub mod load;
pub mod overlay;
pub mod pause;
pub mod plan;
pub mod processes;
mod program;
pub mod reaper;
mod rootfs;
pub mod seccomp;
pub mod user;
pub mod visit;
