//! `diff`, and the sizes that `ps` and `inspect` report.

use crate::support::containers::running;
use crate::support::{Entry, Image, Layer, each_mode, fixtures};

each_mode! {
    fn sizes_are_those_of_what_was_written(dhow) {
        dhow.with_busybox();
        let script = "mkdir -p /shut/in /mine; head -c 1000 /dev/zero >/shut/in/a; ln /shut/in/a /shut/b; head -c 234 /dev/zero >/mine/c; \
            head -c 5000 /dev/zero >/vol/d; chown -R 1000:1000 /shut; chmod 700 /shut/in; chmod 0 /shut; rm /etc/group";
        dhow.cmd("run --network none --name sized -v /vol busybox").sh(script).ok();
        let image: u64 = dhow.cmd("image inspect -f {{.Size}} busybox").ok().out().parse().unwrap();
        let inspect = dhow.cmd("inspect -s sized").ok().json()[0].clone();
        assert_eq!(inspect["SizeRw"], 1234);
        assert_eq!(inspect["SizeRootFs"], image + 1234);
        let shown = dhow.cmd("ps -as --format {{.Size}}").ok().out();
        assert!(shown.starts_with("1.23kB (virtual "), "{shown}");
        dhow.cmd("rm -v sized").ok();
    }

    fn diff_tells_what_was_added_changed_and_deleted(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        let script = "mkdir -p /new/deep; echo x >/new/deep/file; echo y >>/data/root; rm /data/worker; \
            rm -r /replaced; mkdir /replaced; echo z >/replaced/again; touch /etc/hosts; rm /tmp/x 2>/dev/null; chmod 700 /home";
        let expected = ["C /data", "C /data/root", "D /data/worker", "C /home", "A /new", "A /new/deep", "A /new/deep/file",
            "C /replaced", "A /replaced/again", "D /replaced/inside", "A /vol"];
        let run = running(dhow, "--name live -v /vol", "multi", script);
        assert_eq!(dhow.cmd("diff live").ok().lines(), expected);
        dhow.cmd("rm -fv live").ok();
        run.wait();
        dhow.cmd("run --network none --name dead -v /vol multi").sh(script).ok();
        assert_eq!(dhow.cmd("container diff dead").ok().lines(), expected);
        dhow.cmd("rm -v dead").ok();
        dhow.cmd("diff dead").fails(1, &["No such container: dead"]);
    }

    fn what_did_nothing_changed_nothing(dhow) {
        // Neither has any of the directories and files that every container gets.
        dhow.load(&Image::new([crate::support::probe::layer()]).set("Entrypoint", vec!["/probe"]).set("Cmd", serde_json::Value::Null), "bare");
        dhow.with_busybox();
        dhow.cmd("run --network none --name bare bare descriptors").ok();
        dhow.cmd("run --network none --name box busybox").sh("cat /etc/passwd >/dev/null; ls /tmp").ok();
        assert_eq!(dhow.cmd("diff bare").ok().out(), "");
        assert_eq!(dhow.cmd("diff box").ok().out(), "");
        dhow.cmd("rm bare box").ok();
    }

    fn diff_sees_into_closed_directories_of_others(dhow) {
        dhow.with_busybox();
        let script = "mkdir -p /closed/in; echo x >/closed/in/file; chown -R 1000:1000 /closed; chmod 0 /closed/in /closed";
        dhow.cmd("run --network none --name closed busybox").sh(script).ok();
        assert_eq!(dhow.cmd("diff closed").ok().lines(), ["A /closed", "A /closed/in", "A /closed/in/file"]);
        dhow.cmd("rm closed").ok();
    }

    fn layers_that_hide_one_another_are_told_apart(dhow) {
        let below = Layer::new([Entry::dir("d/"), Entry::file("d/old", "1"), Entry::file("gone", "1")]);
        let above = Layer::new([Entry::dir("d/"), Entry::opaque("d/"), Entry::file("d/new", "2"), Entry::whiteout("", "gone")]);
        dhow.load(&Image::new([fixtures::busybox_layer(), below, above]), "hiding");
        dhow.cmd("run --network none --name it hiding").sh("echo a >/d/old; echo b >/d/new; echo c >/gone").ok();
        assert_eq!(dhow.cmd("diff it").ok().lines(), ["C /d", "C /d/new", "A /d/old", "A /gone"]);
        dhow.cmd("rm it").ok();
    }
}
