//! `build`: an image from a Dockerfile and its contexts.

pub mod ask;
pub mod job;
pub mod request;
