//! Registries: the client side of the distribution protocol.
//!
//! [`config::Registries`] says which servers hold a repository, [`repository::Repository`] talks to one of them, and
//! [`blob::BlobReader`] is the stream of a layer
//! that comes, [`upload`] has what goes there. Below them: [`auth`] for credentials and tokens, [`http`] for one
//! exchange, [`tls`], [`proxy`] and [`resolve`] for how to get there. Everything blocks; layers are downloaded in parallel
//! by threads of the caller.

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
