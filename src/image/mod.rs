//! OCI content in and out: registries, archives, unpacking and packing of layers.

pub mod archive;
pub mod hash;
pub mod manifest;
pub mod pack;
pub mod pull;
pub mod recipe;
pub mod registry;
pub mod tar;
pub mod unpack;
