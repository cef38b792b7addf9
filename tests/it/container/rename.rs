//! `rename`, also of a container that is running.

use crate::support::containers::end;
use crate::support::containers::idle;
use crate::support::containers::names;
use crate::support::containers::stopped;
use crate::support::each_mode;

each_mode! {
    fn a_name_can_be_changed_while_the_container_runs(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name other busybox");
        let first = idle(dhow, "--name first busybox");
        dhow.cmd("rename first /second").ok();
        assert_eq!(names(dhow, ""), ["second"]);
        assert_eq!(dhow.cmd("inspect -f {{.Name}} second").ok().out(), "/second");
        dhow.cmd("inspect first").fails(1, &["No such object: first"]);
        dhow.cmd("rename second other").fails(1, &["Error when allocating new name", "already in use by container"]);
        dhow.cmd("rename second second").fails(1, &["same name as its current name"]);
        dhow.cmd("rename second a/b").fails(1, &["Invalid container name"]);
        dhow.cmd("rename second").arg("").fails(1, &["may be empty"]);
        dhow.cmd("rename nobody x1").fails(1, &["No such container: nobody"]);
        dhow.cmd("rename second").fails(1, &["NEW_NAME"]);
        stopped(dhow, "--name first busybox");
        end(dhow, "second", first);
        let told = dhow.cmd("events --since 0 --until 0s --filter event=rename").ok().out();
        assert!(told.ends_with("(image=busybox, name=second, oldName=/first)"), "{told}");
        let mut left = names(dhow, "-a");
        left.sort();
        assert_eq!(left, ["first", "other"]);
    }

    fn a_renamed_container_that_removes_itself_takes_its_name_along(dhow) {
        dhow.with_busybox();
        let run = dhow.run("-i --name first busybox").sh("echo ready; read line").start_piped();
        run.expect("ready");
        dhow.cmd("rename first second").ok();
        drop(run);
        dhow.settle();
        assert_eq!(names(dhow, "-a"), [""; 0]);
        let left = std::fs::read_dir(dhow.root().join("containers/by-name")).unwrap().count();
        assert_eq!(left, 0, "names without a container");
    }
}
