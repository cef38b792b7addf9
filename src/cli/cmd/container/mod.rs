//! Commands about containers.

pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;
pub(crate) mod run;
