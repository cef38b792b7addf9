//! The system: events, disk usage, pruning, autostart, and the command line as such.

mod autostart;
mod command_line;
mod contexts;
mod df;
mod events;
mod prune;
mod store;
