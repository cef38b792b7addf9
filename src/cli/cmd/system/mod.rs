//! `system`: the commands on dhow itself, and those that fit no other noun: `inspect`, `version`, `completion`.

pub(crate) mod autostart;
pub(crate) mod completion;
pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod install_autostart;
pub(crate) mod prune;
pub(crate) mod version;
