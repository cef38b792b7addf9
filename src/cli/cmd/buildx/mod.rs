//! Commands about builders and their cache. There is one builder and it has no daemon, so what makes and removes
//! builders keeps names only: enough for scripts that ask for one of their own.

pub(crate) mod bake;
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
