//! What every command stands on: the command table, the flags in front of a command, help, errors, the environment.
//!
//! # Order
//! `parser` and `usage` know clap and nothing of dhow. `globals` parses the flags in front of the command with them,
//! `command` has the types of the table and of a command's context, and the others build on these: `help`, `report`,
//! `environment`, `docker_config`, `engine_choice`. Nothing here knows a command: the table is handed in with the context.

pub(crate) mod command;
pub(crate) mod contexts;
pub(crate) mod docker_config;
pub(crate) mod empty_values;
pub(crate) mod engine_choice;
pub(crate) mod environment;
pub(crate) mod globals;
pub(crate) mod help;
pub(crate) mod multicall;
pub(crate) mod parser;
pub(crate) mod prompt;
pub(crate) mod report;
pub(crate) mod suggest;
pub(crate) mod tty;
pub(crate) mod usage;
