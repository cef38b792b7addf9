//! The repository: its source files, what is generated from them, the binary, and the tools of the tests.

mod binary;
mod generated;
mod sources;
mod support;
