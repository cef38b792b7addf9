//! The Dockerfile language, as BuildKit's frontend reads it (`docs.docker.com/reference/dockerfile`).

pub mod ast;
