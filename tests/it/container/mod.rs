//! Containers: what the commands of `dhow container` do.

mod commit;
mod confinement;
mod cp;
mod diff;
mod exec;
mod export;
mod health;
mod inspect;
mod lifecycle;
mod limits;
mod logs;
mod many;
mod port;
mod ps;
mod rename;
mod rm;
mod run;
mod shared_namespaces;
mod terminal;
mod top;
mod ulimits;
