//! `dhow build` and `dhow buildx`.

mod applications;
mod buildx;
mod copy;
mod dockerfile;
mod flags;
mod killed;
mod output;
mod progress;
mod run;
mod stages;

use crate::support::Dhow;

/// Writes a context with this Dockerfile and a file `f` to `ctx` in the home directory.
fn context(dhow: &Dhow, dockerfile: &str) {
    dhow.with_busybox();
    dhow.write("home/ctx/f", "hi\n");
    dhow.write("home/ctx/Dockerfile", dockerfile);
}
