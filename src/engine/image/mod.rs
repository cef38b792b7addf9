//! TODO-HEADER engine::image

pub mod history;
pub mod import;
pub(crate) mod inspect;
pub mod load;
pub mod ls;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod save;
pub mod tag;
