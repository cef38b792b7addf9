//! Dockerfile text into what is to be done: syntax tree, expansion, graph of stages, cache keys; contexts and what is
//! copied out of them. Runs nothing: the engine does, through a trait.

pub mod arguments;
pub mod check;
pub mod context;
pub mod dockerfile;
pub mod evaluate;
pub mod expand;
pub mod graph;
pub mod ignore;
pub mod key;
pub mod outline;
pub mod pattern;
pub mod plan;
pub mod progress;
pub mod reach;
pub mod run_command;
pub mod run_mount;
pub mod suggest;
pub mod text;
