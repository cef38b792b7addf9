//! Health checks.

use std::time::Duration;

use crate::support::containers::inspect;
use crate::support::containers::until;
use crate::support::{Dhow, each_mode};

/// Starts a container with the health check `check`.
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
        checked(dhow, "--health-timeout 1500ms --health-retries 1", "echo begun; sleep 1000");
        until(dhow, "checked", ".State.Health.Status", "unhealthy");
        assert_eq!(inspect(dhow, "checked", "(index .State.Health.Log 0).ExitCode"), "-1");
        // docker 26 says exactly this.
        assert_eq!(inspect(dhow, "checked", "(index .State.Health.Log 0).Output"), "Health check exceeded timeout (1.5s): begun");
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
        dhow.cmd("rm -f checked").ok();
    }

    fn what_is_paused_or_has_ended_is_not_healthy(dhow) {
        dhow.with_busybox();
        checked(dhow, "--health-retries 1", "while test -e /gate; do sleep 0.01; done");
        let status = || inspect(dhow, "checked", ".State.Health.Status");
        let listed = |health: &str| dhow.cmd("ps -aq --filter").arg(format!("health={health}")).ok().lines().len();
        until(dhow, "checked", ".State.Health.Status", "healthy");
        // docker 26: unhealthy from the pause to the first check after it, and once it has ended.
        dhow.cmd("pause checked").ok();
        assert_eq!((status().as_str(), listed("healthy"), listed("unhealthy")), ("unhealthy", 0, 1));
        let held = inspect(dhow, "checked", "json .State.Health");
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(inspect(dhow, "checked", "json .State.Health"), held, "nothing is checked meanwhile");
        dhow.cmd("unpause checked").ok();
        until(dhow, "checked", ".State.Health.Status", "healthy");
        // A check that the pause interrupts says nothing, however long the pause.
        dhow.cmd("exec checked touch /gate").ok();
        while !dhow.cmd("top checked").ok().out().contains("sleep 0.01") {}
        dhow.cmd("pause checked").ok();
        dhow.cmd("unpause checked").ok();
        dhow.cmd("exec checked rm /gate").ok();
        until(dhow, "checked", ".State.Health.Status", "healthy");
        let events = dhow.cmd("events --since 5m --until 0s --filter event=health_status").ok().out();
        assert!(!events.contains("unhealthy"), "{events}");
        for end in ["stop -t 0", "kill"] {
            dhow.cmd(end).arg("checked").ok();
            assert_eq!((status().as_str(), listed("healthy"), listed("unhealthy")), ("unhealthy", 0, 1), "{end}");
            assert!(dhow.cmd("ps -a --format {{.Status}}").ok().out().starts_with("Exited (137)"));
            dhow.cmd("start checked").ok();
            until(dhow, "checked", ".State.Health.Status", "healthy");
        }
        dhow.cmd("rm -f checked").ok();
    }
}
