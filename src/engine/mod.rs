//! Use cases, one verb a file: joins the store, images and the sandbox.

mod attach;
pub mod demo;
mod image_files;
pub mod login;
pub mod namespace;
mod plan;
pub mod pull;
mod remove;
pub mod rm;
pub mod run;
pub mod state;
mod supervisor;
