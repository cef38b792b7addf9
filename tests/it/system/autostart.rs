//! `system autostart`: containers that come back after a reboot.

use crate::support::each_mode;

each_mode! {
    fn what_is_to_come_back_does(dhow) {
        dhow.with_busybox();
        for (name, policy) in [("none", "no"), ("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped"), ("failing", "on-failure:3")] {
            dhow.cmd("run -d --network none --name").args([name, "--restart", policy, "busybox", "sleep", "1000"]).ok();
        }
        dhow.cmd("create --network none --name never --restart always busybox sleep 1000").ok();
        dhow.cmd("stop -t 0 stopped").ok();
        crate::support::leaks::kill(&dhow.account, dhow.dir());
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
