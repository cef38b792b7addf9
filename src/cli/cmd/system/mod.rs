//! Commands on dhow itself.

pub(crate) mod autostart;
pub(crate) mod completion;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod install_autostart;
pub(crate) mod prune;
pub(crate) mod version;
