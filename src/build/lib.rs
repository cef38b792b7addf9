//! The Dockerfile frontend: what BuildKit does in `frontend/dockerfile`, without running anything.
//!
//! # Pipeline
//!
//! ```text
//! Dockerfile text
//!   │  dockerfile     parser: lines → instructions (`ast`)
//!   │  graph          stages, what they build on and copy from; ONBUILD triggers; pruned to the target
//!   │  evaluate       each instruction expanded (`expand`, `arguments`), with its effect on the image config
//!   ▼
//! BuildPlan           per platform: stages of `PlanStep`s, each an `Op` (run, copy, workdir)
//!   │  cache_key      an op, its inputs and its parent layers → one digest
//!   ▼
//! builder             solves the plan: cache lookup, or execution into a new layer
//! ```
//!
//! `context` selects, hashes and writes the files of COPY and ADD, honouring `dockerignore`.
//! `check`, `outline` and `reachability` answer `--check` and `--call` from the syntax tree alone.
//!
//! # Invariants
//!
//! Everything except `context` is pure: text and records in, values out. A plan contains no unexpanded
//! variable, and no cache key contains a timestamp.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make files of their own"))]

pub mod arguments;
pub mod ast;
pub mod cache_key;
pub mod check;
pub mod context;
pub mod dockerfile;
pub mod dockerignore;
pub mod evaluate;
pub(crate) mod expand;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]
pub mod fuzz_checks;
pub mod go_format;
pub mod graph;
pub mod outline;
pub mod path_pattern;
pub mod plan;
pub mod progress;
pub(crate) mod reachability;
pub mod remote_address;
pub mod run_command;
pub mod run_mount;
pub(crate) mod suggest;
