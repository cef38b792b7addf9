//! TODO-HEADER engine::registry

pub mod login;
