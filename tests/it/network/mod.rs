//! Networks as containers see them, between hosts that the tests make ([`crate::support::world`]).

mod backends;
mod connect;
mod dns;
mod egress;
mod etc_files;
mod helper;
mod manage;
mod outbound;
mod publish;
mod real_software;
mod shared_namespaces;

use std::time::{Duration, Instant};

use crate::support::containers::inspect;
use crate::support::probe::Facts;
use crate::support::process::Running;
use crate::support::{Cmd, Dhow};

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

/// Runs the probe in the running container `name`.
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

/// Repeats `ask` until the probe answers in less than `limit` milliseconds. On a busy machine any answer may be late, but
/// one that runs into a timeout is late every time.
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

/// Waits until `done` returns true; a minute, for busy machines.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The container's address on `network`.
fn address(dhow: &Dhow, name: &str, network: &str) -> String {
    inspect(dhow, name, &format!("(index .NetworkSettings.Networks \"{network}\").IPAddress"))
}

/// Kills and removes containers.
fn end(dhow: &Dhow, names: &str) {
    dhow.cmd("rm -f").words(names).ok();
}
