//! `dhow build`: stages, arguments, the cache, failed steps, and the resulting image.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::Output;
use crate::support::{Dhow, each_mode};
use rustix::process::Signal;
use serde_json::Value;

/// Writes a context with these files.
fn context(dhow: &Dhow, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = dhow.make_dir(name);
    for (file, content) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
    dhow.give(&dir);
    dir
}

fn build(dhow: &Dhow, dir: &Path, options: &str) -> Output {
    dhow.cmd("build --progress plain").words(options).arg(dir).warns("building with").ok()
}

fn config(dhow: &Dhow, image: &str) -> Value {
    dhow.cmd("image inspect").arg(image).ok().json()[0].clone()
}

fn id(dhow: &Dhow, image: &str) -> String {
    config(dhow, image)["Id"].as_str().unwrap().to_owned()
}

/// How many steps came from the cache, base images excluded.
fn cached(built: &Output) -> usize {
    let text = built.err();
    let mut count = 0;
    let mut step = String::new();
    for line in text.lines() {
        let Some((_, rest)) = line.split_once(' ').filter(|_| line.starts_with('#')) else { continue };
        if rest.starts_with('[') {
            step = rest.to_owned();
        }
        if rest == "CACHED" && !step.contains("] FROM ") {
            count += 1;
        }
    }
    count
}

each_mode! {
    fn stages_arguments_and_what_an_image_says_of_itself(dhow) {
        dhow.with_busybox();
        let dockerfile = "ARG BASE=busybox\nFROM $BASE AS never\nRUN false\nFROM $BASE AS make\nARG WHAT=nothing\nRUN echo $WHAT >/made\n\
            FROM make AS last\nCOPY --from=MAKE /made /copied\nENV A=1 B=\"two words\"\nWORKDIR /w\nWORKDIR x\nRUN echo $A$B >here\nUSER 5:6\n\
            EXPOSE 80\nVOLUME /v\nLABEL one=1\nSTOPSIGNAL SIGINT\nSHELL [\"sh\", \"-c\"]\nCMD cat here /copied\n";
        let dir = context(dhow, "context", &[("Dockerfile", dockerfile)]);
        let id_file = dhow.dir().join("id");
        let metadata = dhow.dir().join("metadata");
        let options = format!("-t app:1 -t app:2 --build-arg WHAT=this --label two=2 --iidfile {} --metadata-file {}",
            id_file.display(), metadata.display());
        build(dhow, &dir, &options);
        assert_eq!(dhow.run("app:2").ok().lines(), ["1two words", "this"]);
        let image = config(dhow, "app:1");
        assert_eq!(fs::read_to_string(id_file).unwrap(), image["Id"].as_str().unwrap());
        let metadata: Value = serde_json::from_slice(&fs::read(metadata).unwrap()).unwrap();
        assert_eq!(metadata["containerimage.config.digest"], image["Id"]);
        assert_eq!(metadata["image.name"], "docker.io/library/app:1,docker.io/library/app:2");
        let config = &image["Config"];
        assert_eq!(config["WorkingDir"], "/w/x");
        assert_eq!(config["User"], "5:6");
        assert_eq!(config["Labels"], serde_json::json!({"one": "1", "two": "2"}));
        assert_eq!(config["Cmd"], serde_json::json!(["sh", "-c", "cat here /copied"]));
        assert!(config["Env"].as_array().unwrap().iter().any(|entry| entry == "B=two words"));
        let history = dhow.cmd("history --no-trunc --format {{.CreatedBy}} app:1").ok().lines();
        assert_eq!(history[0], "CMD [\"sh\" \"-c\" \"cat here /copied\"]");
        assert!(history.contains(&"RUN |1 WHAT=this /bin/sh -c echo $WHAT >/made # buildkit".to_owned()), "{history:?}");
        assert!(history.contains(&"COPY /made /copied # buildkit".to_owned()), "{history:?}");
    }

    fn the_cache_goes_by_content(dhow) {
        dhow.with_busybox();
        let dockerfile = "FROM busybox\nRUN echo first >/first\nCOPY a /a\nRUN cat /a >/b\nCOPY dir /dir/\nRUN ls /dir >/list\n";
        let files = [("Dockerfile", dockerfile), ("a", "one"), ("dir/x", "x"), ("unused", "1")];
        let dir = context(dhow, "one", &files);
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 0);
        let first = id(dhow, "i");
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 5);
        assert_eq!(id(dhow, "i"), first, "a build out of the cache is the same image");
        // A fresh checkout: other inodes, other times.
        let other = context(dhow, "two", &files);
        assert_eq!(cached(&build(dhow, &other, "-t j")), 5);
        assert_eq!(id(dhow, "j"), first);
        fs::write(other.join("unused"), "2").unwrap();
        assert_eq!(cached(&build(dhow, &other, "-t j")), 5);
        fs::write(other.join("dir/x"), "y").unwrap();
        assert_eq!(cached(&build(dhow, &other, "-t j")), 3);
        fs::write(other.join("a"), "two").unwrap();
        assert_eq!(cached(&build(dhow, &other, "-t j")), 1);
        assert_eq!(dhow.run("j cat /b").ok().out(), "two");
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 5);
        assert_eq!(id(dhow, "i"), first);
        assert_eq!(cached(&build(dhow, &dir, "-t i --no-cache")), 0);
    }

    fn a_copy_from_a_stage_goes_by_what_is_copied(dhow) {
        dhow.with_busybox();
        let text = |more: &str| format!("FROM busybox AS one\nRUN echo {more} >/other; echo same >/same\nFROM busybox\nCOPY --from=one /same /\nRUN cat /same >/seen\n");
        let dir = context(dhow, "context", &[("Dockerfile", &text("1"))]);
        build(dhow, &dir, "-t i");
        let first = id(dhow, "i");
        fs::write(dir.join("Dockerfile"), text("2")).unwrap();
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 2);
        assert_eq!(id(dhow, "i"), first);
        fs::write(dir.join("Dockerfile"), text("2")).unwrap();
        assert_eq!(cached(&build(dhow, &dir, "-t i --no-cache-filter one")), 2);
    }

    fn independent_stages_run_side_by_side(dhow) {
        dhow.with_busybox();
        let wait = |mine: &str, other: &str| {
            format!("RUN --mount=type=cache,id=meet,target=/m touch /m/{mine}; until test -e /m/{other}; do sleep 0.01; done; touch /{mine}\n")
        };
        let text = format!("FROM busybox AS a\n{}FROM busybox AS b\n{}FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n", wait("a", "b"), wait("b", "a"));
        let dir = context(dhow, "context", &[("Dockerfile", &text)]);
        build(dhow, &dir, "-t i");
        assert_eq!(config(dhow, "i")["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    }

    fn triggers_of_a_base_come_first(dhow) {
        dhow.with_busybox();
        let base = context(dhow, "base", &[("Dockerfile", "FROM busybox\nONBUILD COPY f /f\nONBUILD RUN cat /f >/seen\n")]);
        build(dhow, &base, "-t base");
        let dir = context(dhow, "context", &[("Dockerfile", "FROM base\nRUN cat /seen >/again\n"), ("f", "from below\n")]);
        build(dhow, &dir, "-t i");
        assert_eq!(dhow.run("i cat /again").ok().out(), "from below");
        assert_eq!(config(dhow, "i")["Config"]["OnBuild"], Value::Null);
    }

    /// BuildKit runs them where the context stands for the image of FROM, and not where it stands for the stage itself.
    fn triggers_of_named_contexts_run(dhow) {
        dhow.with_busybox();
        let base = context(dhow, "base", &[("Dockerfile", "FROM busybox\nONBUILD COPY --from=more f /f\nONBUILD RUN cat /f >/seen\n")]);
        build(dhow, &base, "-t triggers");
        let layout = dhow.dir().join("layout");
        build(dhow, &base, &format!("-o type=oci,tar=false,dest={}", layout.display()));
        let more = context(dhow, "more", &[("f", "of more\n")]);
        let dir = context(dhow, "context", &[("Dockerfile", "FROM base AS one\nFROM one\nRUN cat /seen >/again\n")]);
        for address in ["docker-image://triggers".to_owned(), format!("oci-layout://{}", layout.display())] {
            build(dhow, &dir, &format!("-t i --build-context base={address} --build-context more={}", more.display()));
            assert_eq!(dhow.run("i cat /again").ok().out(), "of more", "{address}");
            assert_eq!(config(dhow, "i")["Config"]["OnBuild"], Value::Null);
            build(dhow, &dir, &format!("-t j --target one --build-context one={address}"));
            dhow.run("j test -e /seen").exits(1);
        }
        let bake = format!("target \"base\" {{\n  context = \"{}\"\n}}\ntarget \"default\" {{\n  context = \"{}\"\n  tags = [\"k\"]\n  contexts = {{ base = \"target:base\", more = \"{}\" }}\n}}\n",
            base.display(), dir.display(), more.display());
        dhow.write("bake/docker-bake.hcl", bake);
        dhow.cmd("buildx bake --progress plain").cwd(dhow.dir().join("bake")).warns("#1").ok();
        assert_eq!(dhow.run("k cat /again").ok().out(), "of more");
    }

    fn a_failed_program_keeps_its_files_to_look_at_and_go_on_from(dhow) {
        dhow.with_busybox();
        let text = "FROM busybox\nRUN echo before >/before\nRUN echo half >>/half; test \"$(wc -l </half)\" = 2\n";
        let dir = context(dhow, "context", &[("Dockerfile", text)]);
        let failed = dhow.cmd("build --progress plain -t i").arg(&dir).fails(1, &[
            "ERROR: failed to build: failed to solve: process \"/bin/sh -c echo half >>/half; test \\\"$(wc -l </half)\\\" = 2\" did not complete successfully: exit code: 1",
            "   3 | >>> RUN echo half",
            "--resume",
        ]);
        let err = failed.err();
        let kept = err.split_whitespace().find(|word| word.starts_with("dhow.local/failed:")).unwrap().to_owned();
        assert_eq!(dhow.run("").arg(&kept).args(["cat", "/before", "/half"]).ok().lines(), ["before", "half"]);
        build(dhow, &dir, "-t i --resume");
        assert_eq!(dhow.run("i cat /half").ok().lines(), ["half", "half"]);
    }

    fn what_is_wrong_is_shown_where_it_stands(dhow) {
        dhow.with_busybox();
        let wrong = |text: &str, parts: &[&str]| {
            let dir = context(dhow, "context", &[("Dockerfile", text)]);
            dhow.cmd("build --progress plain").arg(&dir).fails(1, parts);
        };
        wrong("FROM busybox\nCOPY nope /\n", &["   2 | >>> COPY nope /", "\"/nope\": not found"]);
        wrong("FROM busybox AS a\nCOPY --from=a /x /\n", &["circular dependency detected on stage: a"]);
        wrong("FROM busybox\nWORKDIRR x\n", &["   2 | >>> WORKDIRR x", "did you mean WORKDIR"]);
        wrong("FROM busybox AS build\nFROM bild2:x\n", &["bild2:x: failed to resolve source metadata for docker.io/library/bild2:x"]);
        let dir = context(dhow, "context", &[("Dockerfile", "FROM busybox AS build\n")]);
        dhow.cmd("build --target bild").arg(&dir).fails(1, &["target stage \"bild\" could not be found (did you mean build?)"]);
        let empty = context(dhow, "empty", &[("x", "")]);
        dhow.cmd("build").arg(&empty).fails(1, &["failed to read dockerfile: open Dockerfile: no such file or directory"]);
    }

    fn an_epoch_makes_the_same_image_anywhere(dhow) {
        dhow.with_busybox();
        let text = "FROM busybox\nCOPY dir /dir\nRUN echo x >/dir/new; mkdir /made\nWORKDIR /work/deep\n";
        let files = [("Dockerfile", text), ("dir/a", "a"), ("dir/b/c", "c")];
        let one = context(dhow, "one", &files);
        let build = |dir: &Path, root: &Path| {
            let archive = dhow.dir().join("image.tar");
            dhow.cmd("save -o").arg(&archive).arg("busybox").ok();
            dhow.cmd("load -i").arg(&archive).env("DHOW_ROOT", root).ok();
            let built = dhow.cmd("build -q").arg(dir).env("DHOW_ROOT", root).env("SOURCE_DATE_EPOCH", "1700000000").ok().out();
            let created = dhow.cmd("image inspect -f {{.Created}}").arg(&built).env("DHOW_ROOT", root).ok().out();
            assert_eq!(created, "2023-11-14T22:13:20Z");
            built
        };
        let first = build(&one, &dhow.dir().join("root1"));
        let two = context(dhow, "two", &files);
        assert_eq!(build(&two, &dhow.dir().join("root2")), first);
        for root in ["root1", "root2"] {
            dhow.cmd("system prune -af").env("DHOW_ROOT", dhow.dir().join(root)).output();
        }
    }

    /// As in BuildKit: what the request says goes before it, and an empty value is none.
    fn a_dockerfile_may_set_its_own_epoch(dhow) {
        dhow.with_busybox();
        let text = "ARG SOURCE_DATE_EPOCH=1700000000\nFROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH >/made\n";
        let dir = context(dhow, "context", &[("Dockerfile", text)]);
        let created = |options: &str, epoch: &str| {
            let built = dhow.cmd("build -q").words(options).arg(&dir).env("SOURCE_DATE_EPOCH", epoch).ok().out();
            let time = dhow.cmd("run").arg(&built).args(["stat", "-c", "%Y", "/made"]).ok().out();
            (dhow.cmd("image inspect -f {{.Created}}").arg(&built).ok().out(), time)
        };
        let own = ("2023-11-14T22:13:20Z".to_owned(), "1700000000".to_owned());
        assert_eq!(created("", ""), own);
        let given = ("1970-01-01T00:00:05Z".to_owned(), "5".to_owned());
        assert_eq!(created("", "5"), given);
        assert_eq!(created("--build-arg SOURCE_DATE_EPOCH=5", ""), given);
        assert_ne!(created("--build-arg SOURCE_DATE_EPOCH=", "").0, own.0);
        let wrong = context(dhow, "wrong", &[("Dockerfile", "ARG SOURCE_DATE_EPOCH=soon\nFROM busybox\n")]);
        dhow.cmd("build").arg(&wrong).fails(1, &["invalid SOURCE_DATE_EPOCH: soon"]);
    }

    fn an_interrupted_build_leaves_nothing(dhow) {
        dhow.with_busybox();
        let dir = context(dhow, "context", &[("Dockerfile", "FROM busybox\nRUN echo begun; sleep 1000\n")]);
        let running = dhow.cmd("build --progress plain").arg(&dir).after_shell("exec 2>&1").start();
        running.expect("begun\n");
        running.signal(Signal::INT);
        let ended = running.wait();
        assert_eq!(ended.code, 130, "{}", ended.out());
        assert!(ended.out().contains("context canceled"), "{}", ended.out());
        dhow.settle();
        let left: Vec<_> = fs::read_dir(dhow.root().join("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn a_build_killed_at_any_moment_leaves_no_wrong_cache(dhow) {
        dhow.with_busybox();
        let text = "FROM busybox AS a\nCOPY tree /tree\nRUN for i in 1 2 3 4 5 6 7 8; do echo $i >/tree/n$i; done\n\
            FROM busybox AS b\nRUN mkdir /b && echo b >/b/b\nWORKDIR /b/c\nFROM scratch\nCOPY --from=a /tree /tree\nCOPY --from=b /b /b\n";
        let files: Vec<(String, String)> = (0..60).map(|n| (format!("tree/f{n}"), format!("{n}\n").repeat(500))).collect();
        let mut all: Vec<(&str, &str)> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        all.push(("Dockerfile", text));
        let dir = context(dhow, "context", &all);
        let epoch = |command: crate::support::runner::Cmd| command.env("SOURCE_DATE_EPOCH", "1700000000");
        let right = epoch(dhow.cmd("build -q").arg(&dir)).ok().out();
        for moment in [3, 10, 20, 35, 55, 80, 110, 160, 220, 300] {
            dhow.cmd("rmi").arg(&right).output();
            dhow.cmd("builder prune -af").ok();
            let mut running = epoch(dhow.cmd("build -q").arg(&dir)).start();
            // Not a wait for something: the moment is what is tried.
            std::thread::sleep(std::time::Duration::from_millis(moment));
            running.kill();
            assert_eq!(epoch(dhow.cmd("build -q").arg(&dir)).ok().out(), right, "killed after {moment} ms");
            let made = dhow.cmd("build --progress plain -o type=tar,dest=- ").arg(&dir).env("SOURCE_DATE_EPOCH", "1700000000").output();
            assert!(made.stdout.len() > 60 * 512, "{}", made.err());
        }
    }

    fn contexts_have_names_and_may_be_images_or_directories(dhow) {
        dhow.with_busybox();
        let text = "FROM base\nCOPY --from=files /f /\nRUN cat /f /rooted >/seen\n";
        let dir = context(dhow, "context", &[("Dockerfile", text)]);
        let files = context(dhow, "files", &[("f", "file\n")]);
        let base = context(dhow, "base", &[("Dockerfile", "FROM busybox\nRUN echo rooted >/rooted\n")]);
        build(dhow, &base, "-t other");
        build(dhow, &dir, &format!("-t i --build-context base=docker-image://other --build-context files={}", files.display()));
        assert_eq!(dhow.run("i cat /seen").ok().lines(), ["file", "rooted"]);
        let layout = dhow.dir().join("layout");
        build(dhow, &base, &format!("-o type=oci,tar=false,dest={}", layout.display()));
        build(dhow, &dir, &format!("-t j --build-context base=oci-layout://{} --build-context files={}", layout.display(), files.display()));
        assert_eq!(dhow.run("j cat /seen").ok().lines(), ["file", "rooted"]);
        let rooted = context(dhow, "rooted", &[("rooted", "from a directory\n")]);
        let text = "FROM base\nCOPY x /y\n";
        let dir = context(dhow, "more", &[("Dockerfile", text), ("x", "x")]);
        build(dhow, &dir, &format!("-t k --build-context base={}", rooted.display()));
        assert_eq!(config(dhow, "k")["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    }

    fn the_cache_is_listed_and_pruned(dhow) {
        dhow.with_busybox();
        let dir = context(dhow, "context", &[("Dockerfile", "FROM busybox\nRUN head -c 100000 /dev/zero >/big\n")]);
        build(dhow, &dir, "-t i");
        assert!(dhow.cmd("buildx du").ok().out().contains("Total:"));
        dhow.cmd("builder prune -f").ok();
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 1, "an image has it, so it is not dangling");
        dhow.cmd("rmi i").ok();
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 1, "images come and go, the cache stays");
        dhow.cmd("rmi i").ok();
        dhow.cmd("builder prune -af").ok();
        assert_eq!(cached(&build(dhow, &dir, "-t i")), 0);
    }
}
