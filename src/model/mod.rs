//! Plain values that several layers share: they parse, print and serialise, and do no input or output.

pub mod bytes;
pub mod container;
pub mod csv;
pub mod detach_keys;
pub mod device;
pub mod digest;
pub mod duration;
pub mod environment;
pub mod filter;
pub mod glob;
pub mod hosts;
pub mod image;
pub mod key_value;
pub mod layer;
pub mod mount;
pub mod mount_flag;
pub mod name;
pub mod namespace;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod run;
pub mod security;
pub mod signal;
pub mod sysctl;
pub mod ulimit;
