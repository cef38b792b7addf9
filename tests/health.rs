//! Health checks, and containers that come back after a reboot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::{Dhow, each_mode};

fn inspect(dhow: &Dhow, name: &str, template: &str) -> String {
    dhow.cmd("inspect -f").arg(format!("{{{{{template}}}}}")).arg(name).ok().out()
}

fn until(dhow: &Dhow, name: &str, template: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = inspect(dhow, name, template);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{template} is {found}, not {wanted}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a container that is checked by `check`.
fn checked(dhow: &Dhow, options: &str, check: &str) {
    dhow.cmd("run -d --network none --name checked --health-interval 20ms")
        .args(options.split_whitespace())
        .args(["--health-cmd", check, "busybox", "sleep", "1000"])
        .ok();
}

each_mode! {
    fn health_follows_the_check(dhow) {
        dhow.with_busybox();
        checked(dhow, "--health-retries 2", "echo looked; test -e /ok");
        assert_eq!(inspect(dhow, "checked", "index .Config.Healthcheck.Test 0"), "CMD-SHELL");
        until(dhow, "checked", ".State.Health.Status", "unhealthy");
        assert_eq!(inspect(dhow, "checked", "ge .State.Health.FailingStreak 2"), "true");
        assert_eq!(inspect(dhow, "checked", "(index .State.Health.Log 0).ExitCode"), "1");
        assert_eq!(inspect(dhow, "checked", "(index .State.Health.Log 0).Output"), "looked");
        dhow.cmd("exec checked touch /ok").ok();
        until(dhow, "checked", ".State.Health.Status", "healthy");
        until(dhow, "checked", "len .State.Health.Log", "5");
        assert_eq!(dhow.cmd("ps -q --filter health=healthy").ok().out().lines().count(), 1);
        let events = dhow.cmd("events --since 5m --until 0s --filter event=health_status").ok().out();
        assert!(events.contains("health_status: unhealthy") && events.contains("health_status: healthy"), "{events}");
        dhow.cmd("rm -f checked").ok();
        dhow.settle();
    }

    fn a_check_that_takes_too_long_is_killed(dhow) {
        dhow.with_busybox();
        checked(dhow, "--health-timeout 50ms --health-retries 1", "sleep 1000");
        until(dhow, "checked", ".State.Health.Status", "unhealthy");
        assert_eq!(inspect(dhow, "checked", "(index .State.Health.Log 0).ExitCode"), "-1");
        assert!(inspect(dhow, "checked", "(index .State.Health.Log 0).Output").contains("exceeded timeout"));
        dhow.cmd("stop -t 0 checked").ok();
        dhow.settle();
        dhow.cmd("rm checked").ok();
    }

    fn while_it_starts_up_failures_do_not_count(dhow) {
        dhow.with_busybox();
        checked(dhow, "--health-retries 1 --health-start-period 1h --health-start-interval 10ms", "test -e /ok");
        until(dhow, "checked", "len .State.Health.Log", "5");
        assert_eq!(inspect(dhow, "checked", ".State.Health.Status"), "starting");
        dhow.cmd("exec checked touch /ok").ok();
        until(dhow, "checked", ".State.Health.Status", "healthy");
        dhow.cmd("exec checked rm /ok").ok();
        until(dhow, "checked", ".State.Health.Status", "unhealthy");
        dhow.cmd("rm -f checked").ok();
    }

    fn a_check_that_cannot_run_is_a_failure(dhow) {
        dhow.with_busybox();
        dhow.cmd("run -d --network none --name checked --health-interval 20ms --health-retries 1 --health-cmd x busybox sleep 1000").ok();
        until(dhow, "checked", ".State.Health.Status", "unhealthy");
        dhow.cmd("rm -f checked").ok();
        checked(dhow, "--no-healthcheck=false", "true");
        until(dhow, "checked", ".State.Health.Status", "healthy");
        dhow.cmd("pause checked").ok();
        let log = inspect(dhow, "checked", "json .State.Health");
        std::thread::sleep(Duration::from_millis(150));
        let held = inspect(dhow, "checked", "json .State.Health");
        // One check may have been under way.
        assert_eq!(inspect(dhow, "checked", "json .State.Health"), held, "{log}");
        dhow.cmd("rm -f checked").ok();
    }

    fn what_is_to_come_back_does(dhow) {
        dhow.with_busybox();
        for (name, policy) in [("none", "no"), ("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped"), ("failing", "on-failure:3")] {
            dhow.cmd("run -d --network none --name").args([name, "--restart", policy, "busybox", "sleep", "1000"]).ok();
        }
        dhow.cmd("create --network none --name never --restart always busybox sleep 1000").ok();
        dhow.cmd("stop -t 0 stopped").ok();
        support::leaks::kill(&dhow.account, dhow.dir());
        dhow.settle();
        let out = dhow.cmd("system autostart").ok().out();
        let mut started: Vec<&str> = out.lines().collect();
        started.sort_unstable();
        assert_eq!(started, ["always", "failing", "unless"]);
        assert_eq!(dhow.cmd("ps -q").ok().out().lines().count(), 3);
        assert_eq!(dhow.cmd("system autostart").ok().out(), "");
        dhow.cmd("rm -f none always unless stopped failing never").ok();
        dhow.settle();
    }

    fn autostart_is_installed_and_taken_back(dhow) {
        // A crontab of the test's own.
        let table = dhow.dir().join("crontab");
        let bin = dhow.make_dir("bin");
        let script = format!("#!/bin/sh\ncase $1 in -l) cat {0};; -) cat > {0};; esac\n", table.display());
        let crontab = dhow.write("bin/crontab", script);
        std::fs::set_permissions(&crontab, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.display());
        dhow.write("crontab", "0 5 * * * backup\n");
        let units = dhow.home().join(".config/systemd/user");
        for _ in 0..2 {
            dhow.cmd("system install-autostart").env("PATH", &path).ok();
        }
        let lines = std::fs::read_to_string(&table).unwrap();
        let unit = std::fs::read_to_string(units.join("dhow.service")).unwrap_or_default();
        let installed = lines.clone() + &unit;
        assert_eq!(installed.matches("system autostart").count(), 1, "{installed}");
        assert!(installed.contains("DHOW_ROOT"), "{installed}");
        dhow.cmd("system install-autostart --undo").env("PATH", &path).ok();
        assert_eq!(std::fs::read_to_string(&table).unwrap(), "0 5 * * * backup\n");
        assert!(!units.join("dhow.service").exists());
    }
}
