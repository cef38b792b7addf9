//! Registries: a client for the OCI distribution protocol.
//!
//! [`config::RegistriesConfig`] determines which servers hold a repository, [`repository::Repository`] talks
//! to one of them, [`blob::BlobReader`] streams downloads, and [`upload`] handles uploads. Below them:
//! [`auth`] for credentials and tokens, [`http`] for single exchanges, [`tls`], [`proxy`] and [`resolve`] for
//! connections. All calls block; callers run transfers in parallel threads.

pub mod auth;
pub mod blob;
pub mod challenge;
pub mod config;
pub mod credentials;
pub mod http;
pub mod proxy;
pub mod refusal;
pub mod repository;
pub mod resolve;
pub mod retry;
pub mod text;
pub mod tls;
pub mod upload;
