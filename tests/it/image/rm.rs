//! `rmi`: names, images with several names, and layers that others share.

use super::image_with;
use super::stored_layers;
use crate::support::each_mode;

each_mode! {
    fn removing_a_name_is_not_removing_an_image_with_others(dhow) {
        let image = image_with("two names");
        dhow.load(&image, "first:1");
        dhow.cmd("tag first:1 second:2").ok();
        assert_eq!(dhow.cmd("rmi first:1").ok().out(), "Untagged: first:1");
        let output = dhow.cmd("rmi second:2").ok().lines();
        assert_eq!(output[..2], ["Untagged: second:2".to_owned(), format!("Deleted: {}", image.id())]);
        assert_eq!(stored_layers(dhow), 0);
        dhow.cmd("rmi second:2").fails(1, &["second:2"]);
        dhow.cmd("rmi -f second:2").output();
    }

    fn removal_by_id_needs_force_where_names_are_many(dhow) {
        let image = image_with("many names");
        dhow.load(&image, "first:1");
        dhow.cmd("tag first:1 second:2").ok();
        dhow.cmd("rmi").arg(image.short_id()).fails(1, &[&image.short_id(), "must be forced"]);
        let output = dhow.cmd("rmi -f").arg(image.short_id()).ok().out();
        assert!(output.contains("Untagged: first:1") && output.contains("Untagged: second:2"), "{output}");
        assert!(output.contains(&format!("Deleted: {}", image.id())), "{output}");
        assert_eq!(dhow.cmd("images -aq").ok().out(), "");
    }

    fn shared_layers_stay_while_an_image_needs_them(dhow) {
        dhow.with_busybox();
        dhow.load(&image_with("upper"), "upper:1");
        assert_eq!(stored_layers(dhow), 2);
        dhow.cmd("rmi busybox").ok();
        assert_eq!(stored_layers(dhow), 2);
        assert_eq!(dhow.run("upper:1 cat /content").ok().out(), "upper");
        dhow.cmd("rmi upper:1").ok();
        assert_eq!(stored_layers(dhow), 0);
    }

    fn an_image_in_use_is_not_deleted(dhow) {
        let image = image_with("in use");
        dhow.load(&image, "used:1");
        let running = dhow.run("-i used:1").sh("echo ready; cat; cat /content").start_piped();
        running.expect("ready");
        dhow.cmd("rmi used:1").fails(1, &["used:1"]);
        dhow.cmd("rmi -f").arg(image.id()).fails(1, &[]);
        assert_eq!(dhow.cmd("images -q").ok().out(), image.short_id());
        let mut running = running;
        drop(running.child.stdin.take());
        assert_eq!(running.wait().out(), "ready\nin use");
        dhow.cmd("rmi used:1").ok();
    }

    fn removal_goes_on_after_an_error(dhow) {
        dhow.load(&image_with("one"), "one:1");
        dhow.load(&image_with("two"), "two:1");
        let output = dhow.cmd("rmi one:1 absent two:1").output();
        assert_eq!(output.code, 1);
        assert!(output.err().contains("No such image: absent:latest"), "{}", output.err());
        assert!(output.out().contains("Untagged: one:1") && output.out().contains("Untagged: two:1"), "{}", output.out());
        let forced = dhow.cmd("rmi -f absent").warns("No such image").ok();
        assert_eq!(forced.out(), "");
        dhow.with_busybox();
        dhow.cmd("rmi --platform linux/s390x busybox").fails(1, &["busybox"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
    }
}
