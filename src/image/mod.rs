//! OCI content in and out: registries, archives, unpacking and packing of layers.

pub mod hash;
pub mod manifest;
pub mod registry;
