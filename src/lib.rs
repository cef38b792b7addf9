//! dhow, a daemonless and rootless container engine.
//!
//! The folders are layers; a module imports only from those below it, and `tests/layers.rs` holds that:
//!
//! ```text
//! cli       the only clap, stdout, environment and exit codes
//! engine    use cases, one verb a file; the supervisor
//! image     OCI content in and out: registries, archives, unpacking and packing      │ siblings that
//! build     Dockerfile text into steps, contexts, cache keys                         │
//! sandbox   a resolved Plan into processes                                            │ only engine joins
//! network   gateways, datapath, name service, and the helper that runs them           │
//! store     the only writer below the data root (image may use it, sandbox may not)   │
//! sys       one file per kernel facility; the only `unsafe`
//! model     plain values: parse, Display, serde, no I/O
//! error     what kind of failure, and what to do
//! ```

pub mod build;
pub mod cli;
pub mod engine;
pub mod error;
pub mod image;
pub mod model;
pub mod network;
pub mod sandbox;
pub mod store;
pub mod sys;
