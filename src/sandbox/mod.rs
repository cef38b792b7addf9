//! A resolved plan into isolated processes.

pub mod caps;
pub mod identity;
pub mod seccomp;
