//! `image`: the commands on images, and `build`. `pending_pull` is for `pull` and `run`; `tree` is `images --tree`.

pub(crate) mod build;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod ls;
pub(crate) mod pending_pull;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod tag;
mod tree;
