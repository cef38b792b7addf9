//! The registry client, called as a library.

mod client;
mod pull;
