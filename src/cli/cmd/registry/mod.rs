//! `login` and `logout`, which docker has without a noun.

pub(crate) mod login;
pub(crate) mod logout;
