//! `system prune`.

use crate::support::containers::end;
use crate::support::containers::idle;
use crate::support::containers::names;
use crate::support::containers::stopped;
use crate::support::each_mode;

each_mode! {
    fn prune_removes_what_nothing_uses(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name gone -l kind=scratch -v /own busybox");
        stopped(dhow, "--name kept -v named:/named busybox");
        dhow.cmd("volume create").ok();
        let up = idle(dhow, "--name up busybox");
        let asked = dhow.cmd("system prune -a --volumes --filter label=kind").stdin("n\n").ok().out();
        assert_eq!(asked, "WARNING! This will remove:\n  - all stopped containers\n  \
            - all networks not used by at least one container\n  \
            - all anonymous volumes not used by at least one container\n  \
            - all images without at least one container associated to them\n\n  \
            Items to be pruned will be filtered with:\n  - label=kind\n\nAre you sure you want to continue? [y/N] ");
        assert_eq!(names(dhow, "-a").len(), 3);
        dhow.cmd("system prune --volumes --filter until=1h -f").fails(1, &["not supported with \"--volumes\""]);
        let id = dhow.cmd("ps -aq --no-trunc -f name=gone").ok().out();
        let text = dhow.cmd("system prune -f --filter label=kind=scratch").ok().out();
        assert!(text.starts_with(&format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: ")), "{text}");
        let text = dhow.cmd("system prune -f --filter until=1h").ok().out();
        assert_eq!(text, "Total reclaimed space: 0B");
        let text = dhow.cmd("system prune -f --volumes").stdin("").ok().out();
        assert!(text.contains("Deleted Containers:") && text.contains("Deleted Volumes:"), "{text}");
        assert_eq!(names(dhow, "-a"), ["up"]);
        assert_eq!(dhow.cmd("volume ls -q").ok().lines(), ["named"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1, "an image in use stays");
        end(dhow, "up", up);
        let text = dhow.cmd("system prune -af").ok().out();
        assert!(text.contains("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"), "{text}");
        let pruned = dhow.cmd("events --since 0 --until 0s --filter event=prune --format {{.Type}}").ok().lines();
        assert!(["container", "image", "volume"].iter().all(|kind| pruned.contains(&(*kind).to_owned())), "{pruned:?}");
    }
}
