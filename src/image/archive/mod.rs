//! Images as archives: what docker, podman, skopeo and buildkit write, and what they read.

pub mod read;
