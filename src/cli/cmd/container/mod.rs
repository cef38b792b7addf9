//! Commands about containers.

pub(crate) mod run;
