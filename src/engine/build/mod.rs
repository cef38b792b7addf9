//! `build`: an image from a Dockerfile and its contexts.

pub mod request;
