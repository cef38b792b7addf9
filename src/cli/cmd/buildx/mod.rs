//! `buildx` and `builder`: the commands on builders and the build cache. There is no BuildKit daemon and only one way to
//! build, so a builder is only a name, for scripts that create their own.
//!
//! `build_run` and `bake_run` run builds and show their progress; `cache` and `builders` are shared. `buildx use` is in
//! `switch`, since `use` is a keyword, and `buildx build` in `image/build.rs`.

pub(crate) mod bake;
pub(crate) mod bake_run;
pub(crate) mod build_run;
pub(crate) mod builders;
pub(crate) mod cache;
pub(crate) mod create;
pub(crate) mod du;
pub(crate) mod imagetools;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;
pub(crate) mod stop;
pub(crate) mod switch;
pub(crate) mod version;
