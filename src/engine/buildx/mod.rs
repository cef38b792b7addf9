//! `buildx`: the verbs that work on registries alone. Those that build are in the builder.

pub mod imagetools;
