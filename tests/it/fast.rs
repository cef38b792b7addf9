//! One use of each command, on an image that holds nothing but the probe: `tests/run --fast`.
//!
//! Needs no package, no registry, no test account and no network, so it is what to run after every change. What the
//! commands do in detail is tested by the other modules.

use crate::library::cli;
use crate::support::containers::inspect;
use crate::support::image::digest;
use crate::support::memory_registry::MemoryRegistry;
use crate::support::process::Running;
use crate::support::{Dhow, Image, probe};

/// An image that runs the probe.
fn image() -> Image {
    probe::image().clone().set("Entrypoint", serde_json::json!(["/probe"]))
}

/// A fresh data root with [`image`] as `probe`.
fn start() -> Option<Dhow> {
    let dhow = Dhow::any()?;
    dhow.load(&image(), "probe:latest");
    Some(dhow)
}

/// A container that was run in the foreground and has ended.
fn ended(dhow: &Dhow, name: &str) {
    dhow.cmd("run --network none --name").args([name, "probe", "identity"]).ok();
}

/// A container that runs in the background until it is killed.
fn detached(dhow: &Dhow, name: &str) {
    dhow.cmd("run -d --network none --name").args([name, "probe", "net", "serve", "7000"]).ok();
    let logs = dhow.cmd("logs -f").arg(name).start();
    logs.expect("serving=");
}

/// The leaf commands of the command line, as their words.
fn leaves(command: &clap::Command, words: &str, found: &mut Vec<String>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let words = format!("{words} {}", child.get_name());
        if child.has_subcommands() {
            leaves(child, &words, found);
        } else {
            found.push(words.trim_start().to_owned());
        }
    }
}

/// A command counts as used if this file names it, with its group or as the short form that docker has for it.
#[test]
fn every_command_is_here() {
    let here = include_str!("fast.rs");
    let mut found = Vec::new();
    leaves(&cli::command_tree(), "", &mut found);
    let used = |words: &str| here.contains(&format!("cmd(\"{words}"));
    let short = |words: &str| match words {
        "image list" | "image ls" => "images".to_owned(),
        "image rm" | "image remove" => "rmi".to_owned(),
        "container list" | "container ls" => "ps".to_owned(),
        "buildx b" => "build".to_owned(),
        "buildx f" => "bake".to_owned(),
        other => other.rsplit(' ').next().unwrap().replace("remove", "rm").replace("list", "ls"),
    };
    let long = |words: &str| words.replace(" remove", " rm").replace(" list", " ls");
    found.retain(|words| !used(words) && !used(&short(words)) && !used(&long(words)));
    assert!(found.is_empty(), "not used in tests/it/fast.rs: {found:?}");
}

#[test]
fn containers_run_and_end() {
    let Some(dhow) = start() else { return };
    let identity = dhow.cmd("run --rm --network none probe identity").ok().out();
    assert!(identity.contains("uid=0 0 0"), "{identity}");
    dhow.cmd("run --rm --network none probe exit 3").exits(3);
    dhow.cmd("create --network none --name made probe exit 4").ok();
    dhow.cmd("start -a made").exits(4);
    assert_eq!(dhow.cmd("wait made").ok().out(), "4");
    dhow.cmd("restart made").ok();
    assert_eq!(dhow.cmd("ps -aq").ok().lines().len(), 1);
    dhow.cmd("rm -f made").ok();
    ended(&dhow, "left");
    let pruned = dhow.cmd("container prune -f").ok().out();
    assert!(pruned.starts_with("Deleted Containers:"), "{pruned}");
    assert_eq!(dhow.cmd("ps -aq").ok().out(), "");
}

#[test]
fn a_running_container_is_looked_into_and_changed() {
    let Some(dhow) = start() else { return };
    detached(&dhow, "up");
    assert!(dhow.cmd("exec up /probe identity").ok().out().contains("uid=0 0 0"));
    assert!(dhow.cmd("top up").ok().out().contains("/probe net serve"));
    assert!(dhow.cmd("stats --no-stream").ok().out().contains("up"));
    assert!(dhow.cmd("logs up").ok().out().contains("serving="));
    assert_eq!(dhow.cmd("port up").ok().out(), "");
    assert_eq!(dhow.cmd("container inspect up").ok().json()[0]["State"]["Running"], true);
    assert_eq!(dhow.cmd("inspect --type container up").ok().json()[0]["Name"], "/up");
    dhow.cmd("update --restart unless-stopped up").ok();
    assert_eq!(inspect(&dhow, "up", ".HostConfig.RestartPolicy.Name"), "unless-stopped");
    dhow.cmd("rename up renamed").ok();
    dhow.cmd("pause renamed").ok();
    assert_eq!(inspect(&dhow, "renamed", ".State.Status"), "paused");
    dhow.cmd("unpause renamed").ok();
    let attached: Running = dhow.cmd("attach --no-stdin renamed").start();
    dhow.cmd("stop -t 0 renamed").ok();
    assert_eq!(attached.wait().code, 137);
    dhow.cmd("start renamed").ok();
    dhow.cmd("kill renamed").ok();
    assert_eq!(dhow.cmd("wait renamed").ok().out(), "137");
    dhow.cmd("rm renamed").ok();
}

#[test]
fn files_go_in_and_out_of_containers() {
    let Some(dhow) = start() else { return };
    ended(&dhow, "box");
    let file = dhow.write("home/file", "content\n");
    dhow.cmd("cp").arg(&file).arg("box:/file").ok();
    assert_eq!(dhow.cmd("diff box").ok().out(), "A /file");
    dhow.cmd("commit box changed").ok();
    let exported = dhow.cmd("export box").ok().stdout;
    let names: Vec<String> = tar::Archive::new(&exported[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(names.iter().any(|name| name == "file") && names.iter().any(|name| name == "probe"), "{names:?}");
    dhow.cmd("import -").arg("imported").stdin(exported).ok();
    dhow.cmd("create --name again imported /probe").ok();
    dhow.cmd("cp again:/file copy").ok();
    assert_eq!(std::fs::read(dhow.home().join("copy")).unwrap(), b"content\n");
    dhow.cmd("rm box again").ok();
}

#[test]
fn images_are_saved_named_and_removed() {
    let Some(dhow) = start() else { return };
    dhow.cmd("tag probe second:2").ok();
    assert_eq!(dhow.cmd("images -q").ok().lines().len(), 2);
    assert_eq!(dhow.cmd("image inspect -f {{.Id}} second:2").ok().out(), image().id());
    assert!(dhow.cmd("history second:2").ok().out().contains("step 0"));
    let saved = dhow.cmd("save second:2").ok().stdout;
    assert_eq!(dhow.cmd("rmi second:2").ok().out(), "Untagged: second:2");
    assert_eq!(dhow.cmd("load").stdin(saved).ok().out(), "Loaded image: second:2");
    let pruned = dhow.cmd("image prune -af").ok().out();
    assert!(pruned.contains("untagged: second:2"), "{pruned}");
}

#[test]
fn images_go_to_a_registry_and_come_back() {
    let Some(dhow) = start() else { return };
    let registry = MemoryRegistry::new();
    let (one, list) = (registry.name("fleet/one:1"), registry.name("fleet/all:1"));
    dhow.cmd("tag probe").arg(&one).ok();
    dhow.cmd("push -q").arg(&one).ok();
    dhow.cmd("rmi").arg(&one).ok();
    dhow.cmd("rmi probe").ok();
    dhow.cmd("pull -q").arg(&one).ok();
    dhow.cmd("run --rm --network none").args([&one, "identity"]).ok();

    dhow.cmd("manifest create").args([&list, &one]).ok();
    dhow.cmd("manifest annotate --os-features a").args([&list, &one]).ok();
    dhow.cmd("manifest push").arg(&list).ok();
    let listed = dhow.cmd("manifest inspect").arg(&list).ok().json();
    assert_eq!(listed["manifests"][0]["platform"]["os.features"][0], "a");
    dhow.cmd("manifest rm").arg(&list).ok();

    let copy = registry.name("fleet/copy:1");
    dhow.cmd("buildx imagetools create --progress quiet -t").args([&copy, &one]).ok();
    let raw = dhow.cmd("buildx imagetools inspect --raw").arg(&copy).ok().stdout;
    let shown = dhow.cmd("buildx imagetools inspect").arg(&copy).ok().out();
    assert!(shown.contains(&digest(&raw)), "{shown}");
}

#[test]
fn a_registry_with_a_password_is_logged_into() {
    let Some(dhow) = start() else { return };
    let registry = MemoryRegistry::with_password();
    let login = |password: &str| {
        dhow.cmd("login -u captain --password-stdin").arg(registry.host()).stdin(password).output()
    };
    assert_eq!(login("wrong").code, 1);
    assert_eq!(login("secret").out(), "Login Succeeded");
    dhow.cmd("tag probe").arg(registry.name("closed:1")).ok();
    dhow.cmd("push -q").arg(registry.name("closed:1")).ok();
    dhow.cmd("logout").arg(registry.host()).ok();
    dhow.cmd("push -q").arg(registry.name("closed:2")).fails(1, &[]);
}

#[test]
fn images_are_built() {
    let Some(dhow) = start() else { return };
    let dockerfile =
        "FROM probe AS base\nCOPY file /file\nFROM base\nARG A=1\nENV A=$A\nRUN [\"/probe\", \"identity\"]\n";
    dhow.write("home/context/Dockerfile", dockerfile);
    dhow.write("home/context/file", "content\n");
    dhow.cmd("build -q --network none -t made --build-arg A=2 context").ok();
    assert!(dhow.cmd("run --rm --network none made environment").ok().out().contains("A=2"));
    assert!(dhow.cmd("buildx du").ok().out().contains("Total:"));
    dhow.write("home/docker-bake.hcl", "target \"default\" { context = \"context\" }\n");
    let printed = dhow.cmd("bake --print").ok().json();
    assert_eq!(printed["target"]["default"]["context"], "context");
    let pruned = dhow.cmd("builder prune -af").ok().out();
    assert!(pruned.contains("Total reclaimed space:"), "{pruned}");
    dhow.cmd("buildx prune -af").ok();

    dhow.cmd("buildx create --name ci").ok();
    dhow.cmd("buildx use ci").ok();
    assert!(dhow.cmd("buildx ls").ok().out().contains("ci*"));
    assert!(dhow.cmd("buildx inspect").ok().out().contains("Name:          ci"));
    dhow.cmd("buildx stop ci").ok();
    dhow.cmd("buildx rm ci").ok();
    dhow.cmd("buildx version").ok();
}

#[test]
fn networks_are_made_joined_and_removed() {
    let Some(dhow) = start() else { return };
    dhow.cmd("network create --subnet 10.91.0.0/24 quay").ok();
    dhow.cmd("create --name box probe").ok();
    dhow.cmd("network connect quay box").ok();
    assert_eq!(dhow.cmd("network inspect -f {{.Name}} quay").ok().out(), "quay");
    assert!(dhow.cmd("network ls").ok().out().contains("quay"));
    dhow.cmd("network disconnect quay box").ok();
    dhow.cmd("network rm quay").ok();
    dhow.cmd("network create mole").ok();
    assert!(dhow.cmd("network prune -f").ok().out().contains("mole"));
    dhow.cmd("rm box").ok();
}

#[test]
fn volumes_are_made_used_and_removed() {
    let Some(dhow) = start() else { return };
    dhow.cmd("volume create hold").ok();
    dhow.cmd("run --name box --network none -v hold:/hold probe identity").ok();
    let file = dhow.write("home/file", "content\n");
    dhow.cmd("cp").arg(&file).arg("box:/hold/file").ok();
    let held = std::path::PathBuf::from(dhow.cmd("volume inspect -f {{.Mountpoint}} hold").ok().out());
    assert_eq!(std::fs::read(held.join("file")).unwrap(), b"content\n");
    dhow.cmd("rm box").ok();
    assert_eq!(dhow.cmd("volume ls -q").ok().out(), "hold");
    dhow.cmd("volume rm hold").ok();
    dhow.cmd("volume create").ok();
    assert!(dhow.cmd("volume prune -f").ok().out().contains("Deleted Volumes:"));
}

#[test]
fn the_system_tells_of_itself() {
    let Some(dhow) = start() else { return };
    ended(&dhow, "left");
    assert_eq!(dhow.cmd("info -f {{.Containers}}").ok().out(), "1");
    assert_eq!(dhow.cmd("context ls -q").ok().out(), "default");
    dhow.cmd("context use default").warns("Current context is now").ok();
    assert_eq!(dhow.cmd("context show").ok().out(), "default");
    assert!(dhow.cmd("version").ok().out().contains(env!("CARGO_PKG_VERSION")));
    assert!(dhow.cmd("system df").ok().out().starts_with("TYPE"));
    assert!(dhow.cmd("events --since 0 --until 0s").ok().out().contains("container die"));
    assert!(dhow.cmd("completion bash").ok().out().contains("_dhow"));
    assert_eq!(dhow.cmd("system autostart").ok().out(), "");
    let pruned = dhow.cmd("system prune -af").ok().out();
    assert!(pruned.contains("Deleted Containers:") && pruned.contains("Deleted Images:"), "{pruned}");
}

#[test]
fn autostart_is_installed_and_removed() {
    let Some(dhow) = start() else { return };
    let table = dhow.dir().join("crontab");
    let script = format!("#!/bin/sh\ncase $1 in -l) cat {0};; -) cat > {0};; esac\n", table.display());
    let crontab = dhow.write("bin/crontab", script);
    std::fs::set_permissions(&crontab, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    dhow.write("crontab", "");
    let path = format!("{}:/usr/bin:/bin", dhow.dir().join("bin").display());
    dhow.cmd("system install-autostart").env("PATH", &path).ok();
    dhow.cmd("system install-autostart --undo").env("PATH", &path).ok();
    assert_eq!(std::fs::read_to_string(&table).unwrap(), "");
}
