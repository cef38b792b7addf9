//! What an ignore file hides from COPY and from bind mounts.

use super::*;

#[test]
fn ignored_files_do_not_exist() {
    let world = World::new();
    for name in ["a", "keep/x", "drop/y", "drop/keep", "drop/deep/z", "b.log"] {
        world.file(&format!("context/{name}"));
    }
    let source = world.context("*.log\ndrop\n!drop/keep\n");
    world.copy_from(&source, &spec(&["."], "/")).unwrap();
    assert_eq!(
        world.made(),
        [
            "a 644 context/a",
            "drop/ 755",
            "drop/keep 644 context/drop/keep",
            "keep/ 755",
            "keep/x 644 context/keep/x"
        ]
    );
    world.copy_from(&source, &spec(&["drop"], "/")).unwrap();
    assert_eq!(world.made(), ["keep 644 context/drop/keep"]);
    assert!(world.copy_from(&source, &spec(&["drop/deep"], "/")).is_err());
    world.copy_from(&source, &spec(&["*.log", "a"], "/")).unwrap();
    assert_eq!(world.made(), ["a 644 context/a"]);
    assert_eq!(source.read("b.log", 100).unwrap().unwrap(), b"context/b.log");
    assert_eq!(source.read("nothing", 100).unwrap(), None);
    assert!(source.read("a", 3).is_err() && source.read("keep", 100).is_err());
}

#[test]
fn the_dockerfile_may_have_an_ignore_file_of_its_own() {
    let world = World::new();
    world.text("context/.dockerignore", "a").text("context/x/Dockerfile.dockerignore", "b");
    let source = world.context("");
    assert_eq!(load_ignore_file(&source, Some("x/Dockerfile")).unwrap().file(), "x/Dockerfile.dockerignore");
    assert_eq!(load_ignore_file(&source, Some("Dockerfile")).unwrap().file(), ".dockerignore");
    assert_eq!(load_ignore_file(&source, None).unwrap().file(), ".dockerignore");
}

#[test]
fn what_a_bind_mount_must_not_show_is_listed() {
    let world = World::new();
    for name in ["a", "b.log", "d/e.log", "d/keep.log", "d/f", "gone/x/y"] {
        world.file(&format!("context/{name}"));
    }
    let hidden = |ignore: &str, under: &str| {
        let paths = world.context(ignore).ignored_paths(under).unwrap();
        paths.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hidden("**/*.log\n!d/keep.log\ngone\n", ""), ["b.log", "d/e.log", "gone"]);
    assert_eq!(hidden("**/*.log\n", "/d"), ["d/e.log", "d/keep.log"]);
    assert_eq!(hidden("", ""), [""; 0]);
}
