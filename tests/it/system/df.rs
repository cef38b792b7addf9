//! `system df`.

use crate::support::containers::end;
use crate::support::containers::idle;
use crate::support::containers::stopped;
use crate::support::each_mode;

each_mode! {
    fn df_counts_what_takes_up_room(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name idle -v data:/data busybox");
        dhow.cmd("run --rm -v data:/data --network none busybox").sh("head -c 1000 /dev/zero >/data/file").ok();
        dhow.cmd("volume create other").ok();
        let up = idle(dhow, "--name up busybox");
        let lines = dhow.cmd("system df").ok().lines();
        let cells = |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cells(&lines[0]), ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
        let images = cells(&lines[1]);
        assert_eq!((&images[..3], images[4].as_str()), (&["Images".to_owned(), "1".into(), "1".into()][..], "0B (0%)"));
        assert_eq!(cells(&lines[2])[..3], ["Containers", "2", "1"]);
        assert_eq!(cells(&lines[3]), ["Local Volumes", "2", "1", "1kB", "0B (0%)"]);
        assert_eq!(cells(&lines[4]), ["Build Cache", "0", "0", "0B", "0B"]);
        let format = "{{.Type}}={{.TotalCount}}/{{.Active}}";
        assert_eq!(dhow.cmd("system df --format").arg(format).ok().lines()[2], "Local Volumes=2/1");
        let verbose = dhow.cmd("system df -v").ok().out();
        for part in ["Images space usage:", "SHARED SIZE", "Containers space usage:", "LOCAL VOLUMES", "Local Volumes space usage:",
            "VOLUME NAME", "Build cache usage: 0B"] {
            assert!(verbose.contains(part), "{part}: {verbose}");
        }
        let json = dhow.cmd("system df -v --format json").ok().json();
        assert_eq!(json["Images"][0]["Containers"], "2");
        assert_eq!((&json["Volumes"][0]["Name"], &json["Volumes"][0]["Links"]), (&"data".into(), &"1".into()));
        assert_eq!(dhow.cmd("system df -v --format").arg("{{range .Containers}}{{.Names}} {{end}}").ok().out().trim(), "up idle");
        let counts = dhow.cmd("info -f").arg("{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}");
        assert_eq!(counts.ok().out(), "2 1 0 1");
        dhow.cmd("pause up").ok();
        assert!(dhow.cmd("info").ok().out().contains(" Paused: 1"));
        end(dhow, "up", up);
    }
}
