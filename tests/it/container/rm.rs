//! `rm` and what it refuses.

use std::fs;

use crate::support::{Dhow, each_mode};

/// A root file system with nothing but busybox.
fn rootfs(dhow: &Dhow) -> std::path::PathBuf {
    let root = dhow.make_dir("rootfs");
    for dir in ["bin", "proc", "sys", "dev", "etc"] {
        dhow.make_dir(&format!("rootfs/{dir}"));
    }
    let busybox = crate::support::find_program("busybox").expect("busybox-static is installed");
    fs::copy(busybox, root.join("bin/busybox")).expect("a copy of busybox");
    dhow.give(&root.join("bin/busybox"));
    root
}

each_mode! {
    fn a_running_container_is_removed_only_by_force(dhow) {
        let root = rootfs(dhow);
        let running = dhow.cmd("run -i --network none --name busy --rootfs").arg(&root)
            .args(["/bin/busybox", "sh", "-c", "echo up; cat"]).start_piped();
        running.expect("up\n");
        assert!(dhow.cmd("ps --format").arg("{{.Names}} {{.Status}}").ok().out().starts_with("busy Up "));
        dhow.cmd("rm busy").fails(1, &["cannot remove container \"/busy\": container is running", "-f"]);
        assert_eq!(dhow.cmd("rm -f busy").ok().out(), "busy");
        assert_eq!(running.wait().code, 137);
        assert!(dhow.cmd("ps -aq").ok().out().is_empty());
    }
}
