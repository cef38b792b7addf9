//! The remote sources of a build: archives, git repositories, URLs.

pub(crate) mod git;
mod git_url;
pub(crate) mod http;
pub(crate) mod tar;
