//! Commands about containers.

pub(crate) mod rm;
pub(crate) mod run;
