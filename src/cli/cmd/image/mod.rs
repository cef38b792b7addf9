//! Commands about images.

pub(crate) mod pull;
