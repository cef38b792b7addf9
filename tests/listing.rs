//! What there is: `ps` with its filters and columns, `system df` and `prune`, and names that change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use support::process::Running;
use support::{Dhow, each_mode};

/// Made and ended, not removed.
fn stopped(dhow: &Dhow, options: &str) {
    dhow.cmd("run --network none").args(options.split_whitespace()).arg("true").ok();
}

/// A container that runs until it is removed by force.
fn running(dhow: &Dhow, options: &str) -> Running {
    let running = dhow
        .cmd("run --network none")
        .args(options.split_whitespace())
        .sh("echo ready; exec sleep 1000")
        .start();
    running.expect("ready");
    running
}

fn end(dhow: &Dhow, name: &str, running: Running) {
    dhow.cmd("rm -f").arg(name).ok();
    running.wait();
}

fn names(dhow: &Dhow, options: &str) -> Vec<String> {
    dhow.cmd("ps --format {{.Names}}").args(options.split_whitespace()).ok().lines()
}

each_mode! {
    fn a_name_can_be_changed_while_the_container_runs(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name other busybox");
        let first = running(dhow, "--name first busybox");
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

    fn no_port_is_published(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name box --expose 80 busybox");
        assert_eq!(dhow.cmd("port box").ok().out(), "");
        dhow.cmd("port box 80").fails(1, &["No public port '80/tcp' published for box"]);
        dhow.cmd("port box 53/udp").fails(1, &["No public port '53/udp' published for box"]);
        dhow.cmd("port box http").fails(1, &["`http` is not a port"]);
        dhow.cmd("port nobody").fails(1, &["No such container: nobody"]);
    }

    fn ps_shows_what_docker_shows(dhow) {
        dhow.with_busybox();
        let dir = dhow.make_dir("a-long-enough-name");
        dhow.cmd("run --network none --name ended -l a=b -l c=d -v data:/data -v").arg(format!("{}:/host", dir.display()))
            .arg("busybox").args(["sh", "-c", "echo \"it's\" >/f; exit 3"]).exits(3);
        dhow.cmd("create --network none --name made busybox true").ok();
        dhow.cmd("run -d --network none --name up busybox sleep 1000").ok();
        assert_eq!(names(dhow, ""), ["up"]);
        assert_eq!(names(dhow, "-a"), ["up", "made", "ended"]);
        assert_eq!(names(dhow, "-l"), ["up"]);
        assert_eq!(names(dhow, "-n 2"), ["up", "made"]);
        let id = dhow.cmd("ps -aq --no-trunc -f name=ended").ok().out();
        let heading = dhow.cmd("ps -as").ok().lines().remove(0);
        let words: Vec<&str> = heading.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES", "SIZE"]);
        let show = |name: &str, format: &str| {
            dhow.cmd("ps -a --format").arg(format).arg("-f").arg(format!("name=^/{name}$")).ok().out()
        };
        assert_eq!(show("ended", "{{.ID}} {{.Image}} {{.Names}} {{.State}}"), format!("{} busybox ended exited", &id[..12]));
        assert_eq!(show("ended", "{{.Command}}"), r#""sh -c 'echo \"it's\" …""#);
        assert_eq!(dhow.cmd("ps -a --no-trunc -f name=ended --format {{.Command}}").ok().out(), r#""sh -c 'echo \"it's\" >/f; exit 3'""#);
        assert!(show("ended", "{{.Status}}").starts_with("Exited (3) "), "{}", show("ended", "{{.Status}}"));
        assert!(show("ended", "{{.Status}}").ends_with(" ago"));
        assert_eq!(show("made", "{{.Status}} {{.State}}"), "Created created");
        assert!(show("up", "{{.Status}}").starts_with("Up "));
        assert_eq!(show("ended", "{{.Label \"a\"}} {{.Labels}} {{.LocalVolumes}} {{.Networks}} [{{.Ports}}]"), "b a=b,c=d 1 none []");
        assert_eq!(show("ended", "{{.Mounts}}").split(',').next(), Some("data"));
        assert!(show("ended", "{{.Size}}").starts_with("5B (virtual "), "{}", show("ended", "{{.Size}}"));
        assert!(show("ended", "{{.RunningFor}}").ends_with(" ago") && show("ended", "{{.CreatedAt}}").contains(" +"));
        let json = dhow.cmd("ps -a --format json -f name=ended").ok().json();
        for field in ["ID", "Image", "Command", "CreatedAt", "RunningFor", "Ports", "State", "Status", "Size", "Names", "Labels",
            "Mounts", "LocalVolumes", "Networks", "Platform"] {
            assert!(json.get(field).is_some(), "{field}");
        }
        dhow.cmd("pause up").ok();
        assert!(show("up", "{{.Status}} {{.State}}").ends_with(" (Paused) paused"), "{}", show("up", "{{.Status}}"));
        assert_eq!(names(dhow, "-f status=paused"), ["up"]);
        dhow.cmd("unpause up").ok();
        dhow.cmd("rm -f up").ok();
    }

    fn filters_choose_containers(dhow) {
        dhow.with_busybox();
        let upper = support::Image::new([support::fixtures::busybox_layer(), support::Layer::new([support::Entry::file("new", "x")])]);
        dhow.load(&upper, "upper");
        stopped(dhow, "--name one -l tier=back -v data:/data --expose 80 busybox");
        stopped(dhow, "--name two -l tier=front upper");
        dhow.cmd("run --network host --name three -v").arg("/usr:/usr-host").args(["busybox", "false"]).exits(1);
        dhow.cmd("create --network none --name four busybox true").ok();
        let is = |filter: &str, expected: &[&str]| {
            let options: Vec<String> = filter.split(' ').map(|one| format!("-f {one}")).collect();
            assert_eq!(names(dhow, &format!("-a {}", options.join(" "))), expected, "{filter}");
        };
        let id = dhow.cmd("ps -aq --no-trunc -f name=two").ok().out();
        is("name=o", &["four", "two", "one"]);
        is("name=^/?t", &["three", "two"]);
        is("name=one|two", &["two", "one"]);
        is("name=one name=two", &["two", "one"]);
        is(&format!("id={}", &id[..10]), &["two"]);
        is("label=tier", &["two", "one"]);
        is("label=tier=back label=tier", &["one"]);
        is("exited=1", &["three"]);
        is("exited=0 status=exited", &["two", "one"]);
        is("status=created status=running", &["four"]);
        is("ancestor=upper", &["two"]);
        is("ancestor=busybox", &["four", "three", "two", "one"]);
        is("ancestor=nothing", &[]);
        is("since=one before=three", &["two"]);
        is("volume=data", &["one"]);
        is("volume=/usr-host volume=/data", &["three", "one"]);
        is("network=host", &["three"]);
        is("expose=80 expose=90-99/udp", &["one"]);
        is("expose=80/udp", &[]);
        is("publish=80", &[]);
        is("health=none", &["four", "three", "two", "one"]);
        is("health=healthy", &[]);
        is("is-task=false name=one", &["one"]);
        is("is-task=true", &[]);
        assert_eq!(names(dhow, "-f status=exited"), ["three", "two", "one"]);
        for bad in ["colour=red", "status=happy", "health=fine", "exited=many", "expose=http", "is-task=maybe"] {
            dhow.cmd("ps -f").arg(bad).fails(1, &[bad.split('=').next().unwrap()]);
        }
        dhow.cmd("tag upper busybox").ok();
        let images = dhow.cmd("ps -a -f name=one --format {{.Image}}").ok().out();
        assert!(images.len() == 12 && images != "busybox", "the name is another image's by now: {images}");
    }

    fn a_container_that_is_to_remove_itself_waits_for_its_start(dhow) {
        dhow.with_busybox();
        dhow.cmd("create --rm --network none --name later busybox true").ok();
        assert_eq!(names(dhow, "-a"), ["later"]);
        assert_eq!(names(dhow, "-a"), ["later"], "a listing is not its end");
        dhow.cmd("start -a later").ok();
        dhow.settle();
        assert_eq!(names(dhow, "-a"), [""; 0]);
    }

    fn a_container_that_cannot_start_was_only_created(dhow) {
        dhow.with_busybox();
        dhow.cmd("run --network none --name bad busybox no-such-command").output();
        assert_eq!(dhow.cmd("ps -a --format").arg("{{.Status}} {{.State}}").ok().out(), "Created created");
        assert_eq!(dhow.cmd("inspect -f").arg("{{.State.Status}} {{.State.ExitCode}}").arg("bad").ok().out(), "created 127");
    }

    fn df_counts_what_takes_up_room(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name idle -v data:/data busybox");
        dhow.cmd("run --rm -v data:/data --network none busybox").sh("head -c 1000 /dev/zero >/data/file").ok();
        dhow.cmd("volume create other").ok();
        let up = running(dhow, "--name up busybox");
        let lines = dhow.cmd("system df").ok().lines();
        let cells = |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cells(&lines[0]), ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
        let images = cells(&lines[1]);
        assert_eq!((&images[..3], images[4].as_str()), (&["Images".to_owned(), "1".into(), "1".into()][..], "0B (0%)"));
        assert_eq!(cells(&lines[2])[..3], ["Containers", "2", "1"]);
        assert_eq!(cells(&lines[3]), ["Local Volumes", "2", "1", "1kB", "0B (0%)"]);
        assert_eq!(cells(&lines[4]), ["Build Cache", "0", "0", "0B", "0B"]);
        let format = "{{.Type}}={{.TotalCount}}/{{.Active}}";
        assert_eq!(dhow.cmd("system df --format").arg(format).ok().lines()[2], "Local Volumes=2/1");
        let verbose = dhow.cmd("system df -v").ok().out();
        for part in ["Images space usage:", "SHARED SIZE", "Containers space usage:", "LOCAL VOLUMES", "Local Volumes space usage:",
            "VOLUME NAME", "Build cache usage: 0B"] {
            assert!(verbose.contains(part), "{part}: {verbose}");
        }
        let json = dhow.cmd("system df -v --format json").ok().json();
        assert_eq!(json["Images"][0]["Containers"], "2");
        assert_eq!((&json["Volumes"][0]["Name"], &json["Volumes"][0]["Links"]), (&"data".into(), &"1".into()));
        assert_eq!(dhow.cmd("system df -v --format").arg("{{range .Containers}}{{.Names}} {{end}}").ok().out().trim(), "up idle");
        let counts = dhow.cmd("info -f").arg("{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}");
        assert_eq!(counts.ok().out(), "2 1 0 1");
        dhow.cmd("pause up").ok();
        assert!(dhow.cmd("info").ok().out().contains(" Paused: 1"));
        end(dhow, "up", up);
    }

    fn prune_removes_what_nothing_uses(dhow) {
        dhow.with_busybox();
        stopped(dhow, "--name gone -l kind=scratch -v /own busybox");
        stopped(dhow, "--name kept -v named:/named busybox");
        dhow.cmd("volume create").ok();
        let up = running(dhow, "--name up busybox");
        let asked = dhow.cmd("system prune -a --volumes --filter label=kind").stdin("n\n").ok().out();
        assert_eq!(asked, "WARNING! This will remove:\n  - all stopped containers\n  \
            - all networks not used by at least one container\n  \
            - all anonymous volumes not used by at least one container\n  \
            - all images without at least one container associated to them\n\n  \
            Items to be pruned will be filtered with:\n  - label=kind\n\nAre you sure you want to continue? [y/N] ");
        assert_eq!(names(dhow, "-a").len(), 3);
        dhow.cmd("system prune --volumes --filter until=1h -f").fails(1, &["not supported with \"--volumes\""]);
        let id = dhow.cmd("ps -aq --no-trunc -f name=gone").ok().out();
        let text = dhow.cmd("system prune -f --filter label=kind=scratch").ok().out();
        assert!(text.starts_with(&format!("Deleted Containers:\n{id}\n\nTotal reclaimed space: ")), "{text}");
        let text = dhow.cmd("system prune -f --filter until=1h").ok().out();
        assert_eq!(text, "Total reclaimed space: 0B");
        let text = dhow.cmd("system prune -f --volumes").stdin("").ok().out();
        assert!(text.contains("Deleted Containers:") && text.contains("Deleted Volumes:"), "{text}");
        assert_eq!(names(dhow, "-a"), ["up"]);
        assert_eq!(dhow.cmd("volume ls -q").ok().lines(), ["named"]);
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1, "an image in use stays");
        end(dhow, "up", up);
        let text = dhow.cmd("system prune -af").ok().out();
        assert!(text.contains("Deleted Images:\nuntagged: busybox:latest\ndeleted: sha256:"), "{text}");
        let pruned = dhow.cmd("events --since 0 --until 0s --filter event=prune --format {{.Type}}").ok().lines();
        assert!(["container", "image", "volume"].iter().all(|kind| pruned.contains(&(*kind).to_owned())), "{pruned:?}");
    }
}
