//! Commands about dhow itself.

pub(crate) mod version;
