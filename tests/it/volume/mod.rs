//! Volumes.

mod manage;
mod mount;
