//! `context …`: docker's names for engines, of which this is one and the only one that is used.

pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod show;
pub(crate) mod switch;
