//! `build`: an image from a Dockerfile and its contexts.

pub mod job;
pub mod request;
