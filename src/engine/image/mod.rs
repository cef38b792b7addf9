//! `image`: the verbs on images, over the store and the image layer.
//!
//! Users name an image by a reference, an ID or a prefix of an ID; `lookup` resolves that. A name may stand for the
//! images of several platforms. `pull` and `push` prepare as the user, since credential helpers are the user's
//! programs, and then work inside the user namespace, where files of every owner can be handled.
//! `demo` is the image that dhow makes of its own executable.

pub mod demo;
pub mod history;
pub mod import;
pub(crate) mod inspect;
pub mod load;
pub mod lookup;
pub mod ls;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
mod stdin;
pub mod tag;
