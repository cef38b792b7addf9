//! TODO-HEADER engine::buildx

pub mod imagetools;
