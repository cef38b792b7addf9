//! Parsers of flag values, by docker's rules and with docker's error texts.
//!
//! They turn the text of one flag into the record that it describes and read neither files nor the
//! environment, so that every front end (flags, bake files, compose files) accepts the same values.

pub mod csv;
mod device;
pub mod hosts;
pub mod key_value;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod publish;
pub mod security;
pub mod sysctl;
mod ulimit;
pub mod volume;
