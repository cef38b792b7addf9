//! Listings of many containers: the index that they are read from shows no other containers and states than the records,
//! whatever happens to it.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::containers::names;
use crate::support::{Dhow, each_mode};

/// So many that there is an index.
const MANY: usize = 40;

fn index(dhow: &Dhow) -> PathBuf {
    dhow.root().join("cache/listings/containers")
}

/// Lists containers until that has written the index, which it does once they have not changed for a moment.
fn until_indexed(dhow: &Dhow) {
    let _ = fs::remove_file(index(dhow));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !index(dhow).exists() {
        assert!(Instant::now() < deadline, "there is no index of {MANY} containers");
        sleep(Duration::from_millis(10));
        names(dhow, "-a");
    }
}

/// Makes containers that have not run, `c0` the oldest, and an index of them.
fn make_many(dhow: &Dhow) -> Vec<String> {
    dhow.with_busybox();
    let all: Vec<String> = (0..MANY).map(|number| format!("c{number}")).collect();
    for name in &all {
        dhow.cmd("create --network none --name").arg(name).args(["busybox", "sh", "-c", "exit 3"]).ok();
    }
    until_indexed(dhow);
    all.into_iter().rev().collect()
}

each_mode! {
    fn what_changes_after_the_index_was_written_is_shown(dhow) {
        let mut all = make_many(dhow);
        assert_eq!(names(dhow, "-a"), all);
        assert_eq!(names(dhow, ""), [""; 0]);
        dhow.cmd("start -a c3").exits(3);
        assert_eq!(names(dhow, "-a -f exited=3"), ["c3"]);
        dhow.cmd("rename c5 renamed").ok();
        dhow.cmd("rm c7").ok();
        dhow.cmd("run -d --network none --name up busybox sleep 1000").ok();
        assert_eq!(names(dhow, ""), ["up"]);
        all.iter_mut().filter(|name| *name == "c5").for_each(|name| *name = "renamed".into());
        all.retain(|name| name != "c7");
        all.insert(0, "up".into());
        assert_eq!(names(dhow, "-a"), all);
        assert_eq!(names(dhow, "-a -f name=^renamed$"), ["renamed"]);
        assert_eq!(names(dhow, "-a -f name=c5 -f name=c7"), [""; 0]);
        let id = dhow.cmd("inspect -f {{.Id}} c9").ok().out();
        assert_eq!(names(dhow, &format!("-a -f id={id} -f name=c")), ["c9"]);
        assert_eq!(names(dhow, &format!("-a -f id={id} -f name=x")), [""; 0]);
        until_indexed(dhow);
        assert_eq!(names(dhow, ""), ["up"], "the index has it running");
        dhow.cmd("rm -f up").ok();
        assert_eq!(names(dhow, ""), [""; 0]);
    }

    fn an_unsound_index_is_as_good_as_none(dhow) {
        let all = make_many(dhow);
        let whole = fs::read(index(dhow)).unwrap();
        dhow.cmd("start -a c3").exits(3);
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 1;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let other_boot = String::from_utf8(whole.clone()).unwrap().replacen(boot.trim(), "another-boot", 1).into_bytes();
        for content in [&whole[..whole.len() / 2], b"", b"\0\xff", &flipped, &other_boot, &whole] {
            fs::write(index(dhow), content).unwrap();
            assert_eq!(names(dhow, "-a"), all);
            assert_eq!(names(dhow, "-a -f status=exited"), ["c3"]);
        }
        fs::remove_dir_all(dhow.root().join("cache/listings")).unwrap();
        assert_eq!(names(dhow, "-a"), all);
        // A directory in its place cannot be replaced, and must not keep anything from being listed.
        let _ = fs::remove_file(index(dhow));
        fs::create_dir_all(index(dhow).join("in-the-way")).unwrap();
        assert_eq!(names(dhow, "-a"), all);
    }

    fn those_that_use_an_image_or_a_volume_are_found_among_many(dhow) {
        make_many(dhow);
        dhow.cmd("create --network none --name user -v data:/data busybox true").ok();
        dhow.cmd("volume rm data").fails(1, &["volume is in use"]);
        dhow.cmd("rmi busybox").fails(1, &["container"]);
        assert_eq!(dhow.cmd("volume ls -q -f dangling=true").ok().out(), "");
        dhow.cmd("rm user").ok();
        assert_eq!(dhow.cmd("volume ls -q -f dangling=true").ok().out(), "data");
        dhow.cmd("volume rm data").ok();
        dhow.cmd("container prune -f").ok();
        dhow.cmd("rmi busybox").ok();
    }
}
