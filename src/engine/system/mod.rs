//! `system`: what concerns all of dhow: disk usage, events, information, autostart, `inspect` of any kind of object.

pub mod autostart;
pub mod df;
pub mod events;
pub mod info;
pub mod inspect;
pub mod install_autostart;
