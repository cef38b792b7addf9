//! Many containers, many commands at once, and random kill -9: afterwards the store and the process table agree, and
//! everything can be removed.
//!
//! A failure prints the random seed; DHOW_STRESS_SEED repeats it, as far as timing allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Dhow, each_mode};
use rustix::process::{PidfdFlags, Signal, kill_process, pidfd_open};

const CONTAINERS: u64 = 200;
const WORKERS: u64 = 6;
const COMMANDS: usize = 900;

/// A xorshift generator.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn seed() -> u64 {
    let given = std::env::var("DHOW_STRESS_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1)
}

/// Prints the seed if the test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "DHOW_STRESS_SEED={}", self.0);
        }
    }
}

/// A random command on a random container.
fn command(dhow: &Dhow, dice: &mut Dice) -> crate::support::Cmd {
    let name = format!("c{}", dice.throw(CONTAINERS));
    let other = format!("c{}", dice.throw(CONTAINERS));
    let run = |options: &str| {
        dhow.cmd("run -d --network none --stop-timeout 0 --name")
            .args([name.as_str()])
            .args(options.split_whitespace())
            .args(["busybox", "sleep", "1000"])
    };
    let on = |verb: &str| dhow.cmd(verb).arg(&name);
    match dice.throw(32) {
        0..8 => run(""),
        8..10 => run("--rm"),
        10 => run("--restart always -v /data"),
        11 => dhow.cmd("create --network none --name").args([&name, "busybox", "true"]),
        12..15 => on("start"),
        15..18 => on("stop -t 0"),
        18 => on("restart -t 0"),
        19 => on("kill"),
        20 => on("pause"),
        21 => on("unpause"),
        22..24 => on("rm -v"),
        24..26 => on("rm -f -v"),
        26 => dhow.cmd("rename").args([&name, &other]),
        27 => dhow.cmd("exec").args([&name, "true"]),
        28 => on("logs"),
        29 => on("inspect"),
        30 => dhow.cmd("ps -a"),
        _ => dhow.run("busybox true"),
    }
}

/// Runs commands until `left` is zero, and now and then kills one of them or a supervisor.
fn work(dhow: &Dhow, mut dice: Dice, left: &AtomicUsize) {
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let mut running = command(dhow, &mut dice).start();
        match dice.throw(16) {
            0 => {
                let pidfd = pidfd_open(running.pid(), PidfdFlags::empty()).unwrap();
                let after = Duration::from_micros(dice.throw(20_000));
                crate::support::process::readable(pidfd.as_fd(), Instant::now() + after);
                running.kill();
                continue;
            }
            1 => {
                let all = dhow.processes();
                let supervisors: Vec<_> =
                    all.iter().filter(|process| process.command.starts_with("dhow: ")).collect();
                if !supervisors.is_empty() {
                    let chosen = supervisors[dice.throw(supervisors.len() as u64) as usize];
                    let _ = kill_process(chosen.pid, Signal::KILL);
                }
            }
            _ => {}
        }
        let output = running.wait();
        assert!(!output.err().contains("panicked"), "{}", output.err());
        // A container that somebody else killed has nothing to say: its code is the whole story.
        let told = output.code == 137 || !output.err().is_empty();
        assert!(output.code == 0 || told, "a failure says why: {}", output.code);
    }
}

/// Asserts that the store and the process table agree about each container.
fn check(dhow: &Dhow) {
    let listed = dhow.cmd("ps -a --no-trunc --format").arg("{{.ID}} {{.Names}} {{.State}}").ok().out();
    let mut states = BTreeMap::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, name, state] = words[..] else { panic!("{line}") };
        assert!(
            states.insert(name.to_owned(), (id.to_owned(), state.to_owned())).is_none(),
            "{name} is there twice"
        );
    }
    let links: BTreeMap<String, String> = fs::read_dir(dhow.root().join("containers/by-name"))
        .unwrap()
        .flatten()
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read_link(entry.path()).unwrap().display().to_string(),
            )
        })
        .collect();
    let processes = dhow.processes();
    let supervised: BTreeSet<String> = processes
        .iter()
        .filter_map(|process| process.command.trim_end().strip_prefix("dhow: ").map(ToOwned::to_owned))
        .collect();
    for (name, (id, state)) in &states {
        assert_eq!(links.get(name), Some(id), "the name {name} leads to its container");
        let pid: i32 = dhow.cmd("inspect -f {{.State.Pid}}").arg(id).ok().out().parse().unwrap();
        let runs = matches!(state.as_str(), "running" | "paused");
        assert_eq!(pid != 0, runs, "{name} is {state} with process {pid}");
        assert!(
            !runs || processes.iter().any(|process| process.pid.as_raw_nonzero().get() == pid),
            "{name} has no process"
        );
    }
    let running = states.values().filter(|(_, state)| matches!(state.as_str(), "running" | "paused")).count();
    let sleepers = processes.iter().filter(|process| process.command.starts_with("sleep")).count();
    assert_eq!(sleepers, running, "{states:?}\n{processes:?}");
    assert!(supervised.len() <= states.len(), "{supervised:?}");
}

/// Waits for pending changes: until what was killed is dead and what restarts has restarted.
fn calm(dhow: &Dhow) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let before = (dhow.cmd("ps -a").ok().out(), dhow.processes().len());
        let restarting = dhow.cmd("ps -q --filter status=restarting").ok().out();
        std::thread::sleep(Duration::from_millis(300));
        let after = (dhow.cmd("ps -a").ok().out(), dhow.processes().len());
        if restarting.is_empty() && before.1 == after.1 {
            return;
        }
        assert!(Instant::now() < deadline, "it does not come to rest");
    }
}

each_mode! {
    fn many_containers_and_sudden_deaths(dhow) {
        dhow.with_busybox();
        let seed = seed();
        let _told = Told(seed);
        let left = AtomicUsize::new(COMMANDS);
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                let left = &left;
                scope.spawn(move || work(dhow, Dice(seed.wrapping_mul(worker * 2 + 1) | 1), left));
            }
        });
        calm(dhow);
        check(dhow);
        let all = dhow.cmd("ps -aq --no-trunc").ok().out();
        dhow.cmd("rm -f -v").args(all.lines()).limit(Duration::from_secs(120)).ok();
        dhow.settle();
        dhow.cmd("volume prune -a -f").ok();
        dhow.cmd("image prune -a -f").ok();
        dhow.settle();
        for dir in ["containers/by-name", "volumes", "images", "layers", "tmp", "trash"] {
            let left: Vec<_> = fs::read_dir(dhow.root().join(dir)).map(|dir| dir.flatten().map(|e| e.path()).collect()).unwrap_or_default();
            assert!(left.is_empty(), "{dir}: {left:?}");
        }
    }

    fn sixty_four_at_once_leave_nothing(dhow) {
        dhow.with_busybox();
        let running: Vec<_> = (0..64).map(|number| dhow.run("busybox echo").arg(number.to_string()).start()).collect();
        for (number, running) in running.into_iter().enumerate() {
            assert_eq!(running.wait().out(), number.to_string());
        }
        dhow.settle();
        assert_eq!(dhow.cmd("ps -aq").ok().out(), "");
    }
}
