//! TODO-HEADER cli::frame

pub(crate) mod command;
pub(crate) mod docker_config;
pub(crate) mod environment;
pub(crate) mod globals;
pub(crate) mod help;
pub(crate) mod multicall;
pub(crate) mod prompt;
pub(crate) mod report;
pub(crate) mod suggest;
pub(crate) mod tty;
pub(crate) mod usage;
