//! Use cases, one verb a file: joins the store, images and the sandbox.

mod attach;
pub mod container_prune;
pub mod demo;
pub mod events;
pub mod first_process;
pub mod history;
mod image_files;
pub mod image_prune;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod load;
pub mod login;
pub mod moment;
pub mod namespace;
mod plan;
pub mod ps;
pub mod pull;
mod remove;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod state;
mod supervisor;
pub mod tag;
