//! Registries: a client for the OCI distribution protocol.
//!
//! [`config::RegistriesConfig`] determines which servers hold a repository, [`repository::Repository`] talks
//! to one of them, [`blob::BlobReader`] streams downloads, and [`upload`] handles uploads. Below them:
//! [`auth`] for credentials and tokens, [`http`] for single exchanges, [`tls`], [`proxy`] and [`resolve`] for
//! connections. All calls block; callers run transfers in parallel threads.

pub mod auth;
pub(crate) mod blob;
pub(crate) mod challenge;
pub mod config;
pub mod credentials;
pub(crate) mod error_response;
pub mod http;
pub(crate) mod proxy;
pub mod push_target;
pub mod repository;
pub(crate) mod resolve;
pub(crate) mod retry;
pub(crate) mod stub_resolver;
pub mod text;
pub(crate) mod tls;
pub(crate) mod upload;
