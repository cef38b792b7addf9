//! Containers as most tests need them: one that has ended, or one that is idle.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Dhow;
use super::process::Running;

/// Runs `true` in a container that is kept; `options` end with the image.
pub(crate) fn stopped(dhow: &Dhow, options: &str) {
    dhow.cmd("run --network none").args(options.split_whitespace()).arg("true").ok();
}

/// Starts a container in the foreground that is idle until it is killed; `options` end with the image.
pub(crate) fn idle(dhow: &Dhow, options: &str) -> Running {
    running(dhow, options, "", ":")
}

/// The same from `image`, once it has run `script`.
pub(crate) fn running(dhow: &Dhow, options: &str, image: &str, script: &str) -> Running {
    let line = format!("run --network none {options} {image}");
    let running = dhow.cmd(&line).sh(&format!("{script}\necho ready; exec sleep 1000")).start();
    running.expect("ready");
    running
}

/// Removes a running container and waits for the command that started it.
pub(crate) fn end(dhow: &Dhow, name: &str, running: Running) {
    dhow.cmd("rm -f").arg(name).ok();
    running.wait();
}

/// The names that `ps` lists.
pub(crate) fn names(dhow: &Dhow, options: &str) -> Vec<String> {
    dhow.cmd("ps --format {{.Names}}").args(options.split_whitespace()).ok().lines()
}

/// A field of `inspect`: what the template `{{template}}` makes of it.
pub(crate) fn inspect(dhow: &Dhow, name: &str, template: &str) -> String {
    dhow.cmd("inspect -f").arg(format!("{{{{{template}}}}}")).arg(name).ok().out()
}

/// Waits until [`inspect`] gives `expected`.
pub(crate) fn until(dhow: &Dhow, name: &str, template: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = inspect(dhow, name, template);
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{template} is {found}, not {expected}");
        sleep(Duration::from_millis(10));
    }
}
