//! Plain values that several layers share: they parse, print and serialise, and do no input or output.

pub mod container;
pub mod digest;
pub mod environment;
pub mod image;
pub mod layer;
pub mod platform;
pub mod progress;
pub mod reference;
