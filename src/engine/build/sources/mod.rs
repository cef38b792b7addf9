//! The remote sources of a build: archives, git repositories, URLs.

pub mod git;
mod git_url;
pub(super) mod layout;
pub mod tar;
pub mod url;
