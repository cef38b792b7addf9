//! Networks as containers see them, in worlds that the tests make (`tests/support/world.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod dns;
mod egress;
mod fallback;
mod files;
mod kin;
mod life;
mod nets;
mod out;
mod publish;
mod real;

use std::time::{Duration, Instant};

use support::probe::Facts;
use support::process::Running;
use support::{Cmd, Dhow};

/// The probe in a container of its own, with `options` of `run`; `line` is what follows `probe net`.
fn command(dhow: &Dhow, options: &str, line: &str) -> Cmd {
    dhow.cmd("run --rm").words(options).words("net /probe net").words(line)
}

/// Runs the probe in a container of the default network.
fn probe(dhow: &Dhow, line: &str) -> Facts {
    Facts::of(command(dhow, "", line))
}

/// The same with more options.
fn probe_on(dhow: &Dhow, options: &str, line: &str) -> Facts {
    Facts::of(command(dhow, options, line))
}

/// Starts the same and does not wait.
fn start(dhow: &Dhow, options: &str, line: &str) -> Running {
    command(dhow, options, line).start()
}

/// Runs the probe in the container `name`, which runs.
fn inside(dhow: &Dhow, name: &str, line: &str) -> Facts {
    Facts::of(dhow.cmd("exec").arg(name).words("/probe net").words(line))
}

/// Starts a container that serves on port 7000, and waits until it does.
fn serve(dhow: &Dhow, name: &str, options: &str) {
    serve_on(dhow, name, options, "7000");
}

/// The same on other ports.
fn serve_on(dhow: &Dhow, name: &str, options: &str, ports: &str) {
    dhow.cmd("run -d --name").arg(name).words(options).words("net /probe net serve").words(ports).ok();
    until_serving(dhow, name, 1);
}

/// Waits until the server has started for the `times`th time.
fn until_serving(dhow: &Dhow, name: &str, times: usize) {
    until(&format!("{name} serves"), || {
        dhow.cmd("logs").arg(name).output().out().matches("serving=").count() >= times
    });
}

/// The first answer of the probe in less than `limit` milliseconds. A busy machine is late at times, but what waits for
/// something that does not come is late each time.
fn soon(limit: u32, ask: impl Fn() -> Facts) -> Facts {
    let mut late = Vec::new();
    for _ in 0..5 {
        let answer = ask();
        if answer.get("ms").parse::<u32>().unwrap() < limit {
            return answer;
        }
        late.push(answer);
    }
    panic!("never in {limit} ms: {late:?}");
}

/// Waits until `done` says so, which must be soon, though not on a busy machine.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A field of `inspect`.
fn inspect(dhow: &Dhow, name: &str, template: &str) -> String {
    dhow.cmd("inspect -f").arg(format!("{{{{{template}}}}}")).arg(name).ok().out()
}

/// The container's address on `network`.
fn address(dhow: &Dhow, name: &str, network: &str) -> String {
    inspect(dhow, name, &format!("(index .NetworkSettings.Networks \"{network}\").IPAddress"))
}

/// Ends containers at once.
fn end(dhow: &Dhow, names: &str) {
    dhow.cmd("rm -f").words(names).ok();
}
