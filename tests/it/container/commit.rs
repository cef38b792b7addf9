//! `commit`: an image made from what a container changed.

use std::io::Read as _;
use std::process::Command;

use super::export::members;
use crate::support::containers::running;
use crate::support::process::must_run;
use crate::support::{Image, each_mode, fixtures, have_programs};

/// A member of a saved archive.
fn member(archive: &[u8], wanted: &str) -> Vec<u8> {
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        if *entry.path_bytes() == *wanted.as_bytes() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            return content;
        }
    }
    panic!("no {wanted}");
}

fn layer_of(saved: &[u8], diff_id: &str) -> Vec<u8> {
    member(saved, &format!("blobs/sha256/{}", crate::support::image::hex(diff_id)))
}

fn config_of(saved: &[u8]) -> serde_json::Value {
    let manifest: serde_json::Value = serde_json::from_slice(&member(saved, "manifest.json")).unwrap();
    serde_json::from_slice(&member(saved, manifest[0]["Config"].as_str().unwrap())).unwrap()
}

each_mode! {
    fn commit_makes_an_image_of_the_change(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        let script = "echo mine >/home/new; ln /home/new /home/new-too; rm /data/setuid; chmod 640 /data/high; echo y >>/data/worker; \
            rm -r /replaced; mkdir /replaced; echo z >/replaced/again; mkdir -m 700 /shut; echo s >/shut/s; ln -s new /home/link; \
            chmod 4755 /data/capable; echo in >/vol/inside; mkfifo /home/pipe";
        let run = running(dhow, "--name it -v /vol -e A=1 -w /home -l x=y", "multi", script);
        let id = dhow.cmd("commit -a me -m because").args(["-c", "CMD [\"cat\", \"/home/new\"]", "--change", "ENV B=2"])
            .args(["it", "made:1"]).ok().out();
        assert!(id.starts_with("sha256:"), "{id}");
        // It goes on.
        assert_eq!(dhow.cmd("diff it").ok().out(), dhow.cmd("diff it").ok().out());
        let image = dhow.cmd("inspect made:1").ok().json()[0].clone();
        assert_eq!((image["Id"].as_str().unwrap(), image["Author"].as_str().unwrap(), image["Comment"].as_str().unwrap()), (&*id, "me", "because"));
        assert_eq!(image["Config"]["Cmd"], serde_json::json!(["cat", "/home/new"]));
        let env = image["Config"]["Env"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=2"]);
        assert_eq!(image["Config"]["WorkingDir"], "/home");
        assert_eq!(image["Config"]["Labels"]["x"], "y");
        assert!(image["Config"]["Volumes"].get("/vol").is_some());
        assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 5);
        assert_eq!(dhow.cmd("history -q made:1").ok().lines().len(), 5);
        assert_eq!(dhow.run("made:1").ok().out(), "mine");
        let look = "cat /data/worker /shut/s; ls /replaced /vol; test -e /data/setuid || echo gone; test -p /home/pipe && echo pipe; \
            stat -c '%a %h' /data/high /home/new /data/capable; readlink /home/link";
        let expected = ["worker's", "y", "s", "/replaced:", "again", "", "/vol:", "gone", "pipe", "640 1", "644 2", "4755 1", "new"];
        assert_eq!(dhow.run("made:1").sh(look).ok().lines(), expected);
        // The owners in the layer are the image's, whatever the disk could hold.
        let saved = dhow.cmd("save made:1").ok().stdout;
        let layer = layer_of(&saved, image["RootFS"]["Layers"][4].as_str().unwrap());
        let found = members(&layer);
        assert!(found["data/worker"].starts_with("0 600 1000:1000"), "{}", found["data/worker"]);
        assert!(found["data/high"].starts_with("0 640 65534:65534"), "{}", found["data/high"]);
        assert!(found["data"].starts_with("5 2775 0:50"), "{}", found["data"]);
        assert!(found.contains_key("data/.wh.setuid") && found.contains_key("replaced/.wh..wh..opq"), "{:?}", found.keys());
        assert!(!found.keys().any(|name| name.starts_with("vol/") || name.contains("dockerenv") || name.starts_with("etc")), "{:?}", found.keys());
        assert_eq!(found["home/new-too"], "1 644 0:0 home/new");
        dhow.cmd("rm -fv it").ok();
        run.wait();
        dhow.cmd("rmi made:1").ok();
        dhow.cmd("load").stdin(saved).ok();
        assert_eq!(dhow.run("made:1").ok().out(), "mine");
    }

    fn an_unchanged_container_adds_no_layer(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name same busybox true").ok();
        dhow.cmd("commit same same:1").ok();
        let image = dhow.cmd("inspect same:1").ok().json()[0].clone();
        assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
        let saved = dhow.cmd("save same:1").ok().stdout;
        let history = config_of(&saved)["history"].clone();
        assert_eq!(history[1]["empty_layer"], true);
        assert_eq!(history[1]["created_by"], "true");
        dhow.cmd("rm same").ok();
        dhow.cmd("rmi same:1").ok();
    }

    fn what_cannot_be_committed_leaves_nothing(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name cc busybox touch /x").ok();
        dhow.cmd("commit absent").fails(1, &["No such container: absent"]);
        dhow.cmd("commit -c").arg("RUN true").arg("cc").fails(1, &["RUN is not a valid change"]);
        dhow.cmd("commit cc").arg(format!("x@sha256:{}", "0".repeat(64))).fails(1, &["digest"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        // Without a name it has an ID only.
        let id = dhow.cmd("commit --pause=false cc").ok().out();
        assert_eq!(dhow.cmd("inspect --format {{.RepoTags}}").arg(&id).ok().out(), "[]");
        dhow.run("").arg(&id).args(["test", "-e", "/x"]).ok();
        dhow.cmd("rm cc").ok();
        // A container's image may be removed once another has its layers.
        dhow.cmd("rmi busybox").ok();
        dhow.run("").arg(&id).args(["test", "-e", "/x"]).ok();
    }

    fn a_container_that_writes_all_the_time_commits_whole_files(dhow) {
        dhow.with_busybox();
        let run = running(dhow, "--name busy", "busybox", "echo 0 >/n; (while :; do date >/tmp/$RANDOM; mv /tmp/* /home/; rm /home/[0-9]*; done) 2>/dev/null &");
        for round in 0..5 {
            let pause = if round % 2 == 0 { "--no-pause" } else { "--pause" };
            let id = dhow.cmd("commit").args([pause, "busy"]).ok().out();
            dhow.run("").arg(&id).args(["cat", "/n"]).ok();
            dhow.cmd("save -o /dev/null").arg(&id).ok();
            dhow.cmd("rmi").arg(&id).ok();
        }
        dhow.cmd("rm -f busy").ok();
        run.wait();
    }

    fn a_commit_that_is_killed_lets_the_container_go_on(dhow) {
        dhow.with_busybox();
        let run = running(dhow, "--name big", "busybox", "head -c 400000000 /dev/urandom >/big; mkfifo /tick; (while :; do echo tick >/tick; done) &");
        let mut commit = dhow.cmd("commit big half:1").start();
        let paused = || dhow.cmd("inspect -f {{.State.Paused}} big").ok().out() == "true";
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !paused() {
            assert!(std::time::Instant::now() < deadline, "it is never paused");
        }
        commit.kill();
        while paused() {
            assert!(std::time::Instant::now() < deadline, "it stays paused");
        }
        assert_eq!(dhow.cmd("exec big head -n1 /tick").ok().out(), "tick");
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        dhow.cmd("rm -f big").ok();
        run.wait();
        dhow.cmd("image prune -f").ok();
        assert_eq!(std::fs::read_dir(dhow.root().join("tmp")).map_or(0, Iterator::count), 0);
    }

    fn a_user_of_its_own_changes_no_owner(dhow) {
        dhow.load(fixtures::multi_user(), "multi");
        // With keep-id root of the image is the user inside, and nobody else's files change hands by that.
        let run = running(dhow, "--name kept --userns keep-id -v /vol", "multi", "echo x >/tmp/mine; id -u");
        let own = dhow.account.uid.to_string();
        let found = members(&dhow.cmd("export kept").ok().stdout);
        assert_eq!(found["tmp/mine"], "0 644 0:0 x");
        assert!(found["data/worker"].starts_with("0 600 1000:1000"), "{}", found["data/worker"]);
        assert!(found["data/root"].starts_with("0 644 0:0"), "{}", found["data/root"]);
        let id = dhow.cmd("commit kept kept:1").ok().out();
        let file = dhow.write("home/file", "copied\n");
        dhow.cmd("cp").arg(&file).arg("kept:/tmp/copied").ok();
        assert_eq!(dhow.cmd("exec kept cat /tmp/copied").ok().out(), "copied");
        dhow.cmd("cp").arg(&file).arg("kept:/vol/copied").ok();
        dhow.cmd("cp kept:/tmp/mine mine").ok();
        dhow.cmd("rm -fv kept").ok();
        run.wait();
        assert_eq!(dhow.run("--userns keep-id").arg(&id).sh("cat /tmp/mine; id -u").ok().lines(), ["x", &*own]);
        assert_eq!(dhow.run("").arg(&id).sh("cat /tmp/mine; id -u").ok().lines(), ["x", "0"]);
    }

    fn an_image_without_layers_is_like_any_other(dhow) {
        dhow.load(&Image::new([]).set("Cmd", vec!["/probe", "descriptors"]), "scratch:1");
        let probe = crate::support::probe::binary();
        dhow.cmd("create --network none --name bare scratch:1").ok();
        dhow.cmd("cp").arg(&probe).arg("bare:/probe").ok();
        dhow.cmd("start -a bare").ok();
        assert_eq!(dhow.cmd("diff bare").ok().lines(), ["A /probe"]);
        dhow.cmd("commit bare made:1").ok();
        dhow.run("made:1").ok();
        assert!(members(&dhow.cmd("export bare").ok().stdout).contains_key("probe"));
        dhow.cmd("cp bare:/probe copy").ok();
        assert_eq!(std::fs::read(dhow.home().join("copy")).unwrap(), std::fs::read(&probe).unwrap());
        dhow.cmd("rm bare").ok();
    }

    fn a_directory_as_root_is_looked_into_too(dhow) {
        let root = dhow.make_dir("rootfs");
        let mut tar = dhow.tool("tar -xf").arg(fixtures::shared_file("root.tar", &fixtures::busybox_layer().0)).args(["--no-same-owner", "-C"]).arg(&root).output();
        tar.stderr.clear();
        assert_eq!(tar.code, 0);
        let run = running(dhow, "--name dir --rootfs", root.to_str().unwrap(), "echo in >/tmp/f");
        for _ in 0..2 {
            dhow.cmd("cp dir:/tmp/f out").ok();
            assert_eq!(std::fs::read_to_string(dhow.home().join("out")).unwrap(), "in\n");
            dhow.cmd("cp out dir:/tmp/back").ok();
            assert_eq!(std::fs::read_to_string(root.join("tmp/back")).unwrap(), "in\n");
            assert!(members(&dhow.cmd("export dir").ok().stdout).contains_key("tmp/back"));
            dhow.cmd("diff dir").fails(1, &["it has no image"]);
            dhow.cmd("commit dir").fails(1, &["it has no image"]);
            dhow.cmd("kill dir").output();
        }
        run.wait();
        dhow.cmd("rm -f dir").ok();
    }

    fn podman_and_skopeo_read_what_was_committed(dhow) {
        if !have_programs(&["skopeo", "podman"]) {
            return;
        }
        dhow.load(fixtures::multi_user(), "multi");
        dhow.cmd("run --network none --name cc multi").sh("echo x >/data/new; rm /data/root; echo long >/home/$(printf 'n%.0s' $(seq 200))").ok();
        let id = dhow.cmd("commit cc made:1").ok().out();
        let file = dhow.home().join("made.tar");
        dhow.cmd("save -o").arg(&file).arg("made:1").ok();
        let output = must_run(Command::new("skopeo").args(["inspect", "--config", "--raw"]).arg(format!("docker-archive:{}", file.display())));
        assert_eq!(crate::support::image::digest(&output.stdout), id);
        if crate::support::account::is_root() {
            let store = dhow.dir().join("podman");
            std::fs::create_dir_all(&store).unwrap();
            let podman = |args: &[&str]| {
                must_run(Command::new("podman").arg("--root").arg(store.join("root")).arg("--runroot").arg(store.join("run"))
                    .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--log-level", "error"]).args(args)).out()
            };
            podman(&["load", "-q", "-i", file.to_str().unwrap()]);
            assert_eq!(podman(&["inspect", "--format", "{{.Id}}", "made:1"]), id[7..]);
            let mounted = podman(&["image", "mount", "made:1"]);
            let at = |name: &str| std::path::Path::new(&mounted).join(name);
            assert_eq!(std::fs::read_to_string(at("data/new")).unwrap(), "x\n");
            assert!(!at("data/root").exists());
            assert_eq!(crate::support::leaks::owner(&at("data/worker")), (1000, 1000));
            podman(&["image", "unmount", "made:1"]);
        }
        dhow.cmd("rm cc").ok();
    }
}
