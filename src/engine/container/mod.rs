//! `container`: the verbs on containers, over the container runtime.
//!
//! Each is a few steps: find the container, reach its supervisor or take its lock, ask or act, record the event.
//! Container names are given as the user typed them: a name, an ID, or a prefix of an ID.
//! `inspect` and `ls` show what the store and the lock say, without asking a supervisor.

pub mod attach;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub mod exec;
pub mod export;
pub(crate) mod inspect;
pub mod kill;
pub mod logs;
pub mod ls;
pub mod pause;
pub mod port;
pub mod prune;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod unpause;
pub mod update;
pub mod wait;
