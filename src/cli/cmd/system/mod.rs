//! Commands about dhow itself.

pub(crate) mod completion;
pub(crate) mod version;
