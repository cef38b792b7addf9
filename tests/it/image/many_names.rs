//! Images with many names: the index that the names are read from shows no others than the records, whatever happens to
//! it.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::image_with;
use crate::support::{Dhow, each_mode};

/// So many that there is an index.
const MANY: usize = 40;

fn index(dhow: &Dhow) -> PathBuf {
    dhow.root().join("cache/listings/names")
}

/// The tags of the image called `name`, as `image inspect` has them.
fn tags(dhow: &Dhow, name: &str) -> Vec<String> {
    let seen = dhow.cmd("image inspect").arg(name).ok().json();
    seen[0]["RepoTags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// All tags of all images, as `images` has them.
fn listed(dhow: &Dhow) -> Vec<String> {
    let mut tags = dhow.cmd("images --format {{.Repository}}:{{.Tag}}").ok().lines();
    tags.sort();
    tags
}

fn until_indexed(dhow: &Dhow) {
    let _ = fs::remove_file(index(dhow));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !index(dhow).exists() {
        assert!(Instant::now() < deadline, "there is no index of {MANY} names");
        sleep(Duration::from_millis(10));
        listed(dhow);
    }
}

/// The images `one:1`, with many more tags, and `other:1`, and an index of the names. Returns the tags of `one:1`.
fn make_many(dhow: &Dhow) -> Vec<String> {
    dhow.load(&image_with("one"), "one:1");
    dhow.load(&image_with("other"), "other:1");
    let mut all = vec!["one:1".to_owned()];
    for number in 0..MANY {
        all.push(format!("r.example/many:{number}"));
        dhow.cmd("tag one:1").arg(&all[number + 1]).ok();
    }
    until_indexed(dhow);
    all.sort();
    all
}

/// Checks what both images and the list show.
fn check(dhow: &Dhow, one: &[String], other: &[&str]) {
    let sorted = |mut tags: Vec<String>| {
        tags.sort();
        tags
    };
    assert_eq!(sorted(tags(dhow, "one:1")), one);
    assert_eq!(sorted(tags(dhow, "other:1")), other);
    assert_eq!(
        listed(dhow),
        sorted([one, &other.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()].concat())
    );
}

each_mode! {
    fn what_changes_after_the_index_was_written_is_shown(dhow) {
        let mut one = make_many(dhow);
        check(dhow, &one, &["other:1"]);
        dhow.cmd("tag other:1 new:1").ok();
        check(dhow, &one, &["new:1", "other:1"]);
        dhow.cmd("tag other:1 r.example/many:3").ok();
        one.retain(|tag| tag != "r.example/many:3");
        check(dhow, &one, &["new:1", "other:1", "r.example/many:3"]);
        dhow.cmd("rmi new:1 r.example/many:4").ok();
        one.retain(|tag| tag != "r.example/many:4");
        check(dhow, &one, &["other:1", "r.example/many:3"]);
        until_indexed(dhow);
        check(dhow, &one, &["other:1", "r.example/many:3"]);
        dhow.cmd("rmi -f other:1").ok();
        assert_eq!(tags(dhow, "r.example/many:3"), ["r.example/many:3"]);
    }

    fn an_unsound_index_is_as_good_as_none(dhow) {
        let one = make_many(dhow);
        let whole = fs::read(index(dhow)).unwrap();
        dhow.cmd("tag other:1 new:1").ok();
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 1;
        for content in [&whole[..whole.len() / 2], b"", b"\0\xff", &flipped, &whole] {
            fs::write(index(dhow), content).unwrap();
            check(dhow, &one, &["new:1", "other:1"]);
        }
        fs::remove_dir_all(dhow.root().join("cache/listings")).unwrap();
        check(dhow, &one, &["new:1", "other:1"]);
        let _ = fs::remove_file(index(dhow));
        fs::create_dir_all(index(dhow).join("in-the-way")).unwrap();
        check(dhow, &one, &["new:1", "other:1"]);
    }
}
