//! OCI content in and out: registries, archives, unpacking and packing of layers.

pub mod registry;
