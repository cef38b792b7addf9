//! Commands on registries.

pub(crate) mod login;
pub(crate) mod logout;
