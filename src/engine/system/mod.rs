//! TODO-HEADER engine::system

pub mod autostart;
pub mod df;
pub mod events;
pub mod info;
pub mod inspect;
pub mod install_autostart;
