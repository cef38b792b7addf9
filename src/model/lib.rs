//! Plain values shared by several layers. They parse, format and serialise, and do no I/O.
//!
//! # Kinds
//!
//! - Records that the store keeps as JSON: [`container`], [`mount`], [`network`], [`volume`], [`layer`],
//!   [`image`], [`event`]. Their field and variant names are the format on disk.
//!   [`record`] says what they leave out.
//! - Requests from the command line to the engine: [`run_request`], [`exec_request`], [`copy_request`],
//!   [`new_network`], [`filter`].
//! - Names: `reference`, [`digest`], [`platform`], [`object_name`].
//! - [`flags`]: parsers of flag values into these.
//! - Units and small formats: [`bytes`], [`duration`], [`timestamp`], [`boolean`], [`glob`], [`signal`],
//!   [`dns_message`].
//!
//! # Rules
//!
//! A record says what was asked for, never how it is carried out. Parsers use docker's rules and texts, which
//! scripts match on. Nothing here reads files, the clock or the environment, which is passed in as a value
//! ([`environment`]); only [`timestamp`] asks for the time zone of the machine.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod boolean;
pub mod bytes;
pub mod config_change;
pub mod container;
pub mod copy_request;
pub mod detach_keys;
pub mod digest;
pub mod dns_message;
pub mod duration;
pub mod egress;
pub mod environment;
pub mod event;
pub mod exec_request;
pub mod filter;
pub mod flags;
pub mod glob;
pub mod health;
pub mod image;
pub mod ipam;
pub mod layer;
pub mod limits;
pub mod log;
pub mod mount;
pub mod network;
pub mod new_network;
pub mod object_name;
pub mod platform;
pub mod port_list;
pub mod port_range;
pub mod progress;
pub mod record;
pub mod reference;
pub mod restart;
pub mod run_request;
pub mod signal;
pub mod timestamp;
pub mod volume;
