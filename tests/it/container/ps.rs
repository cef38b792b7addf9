//! `ps`: its columns, formats and filters.

use crate::support::containers::names;
use crate::support::containers::stopped;
use crate::support::each_mode;

each_mode! {
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
        let upper = crate::support::Image::new([crate::support::fixtures::busybox_layer(), crate::support::Layer::new([crate::support::Entry::file("new", "x")])]);
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

    fn containers_are_listed_and_removed(dhow) {
        dhow.cmd("run --network none --name first -l k=v dhow.local/demo").ok();
        dhow.cmd("run --network none --name second --entrypoint /no/such dhow.local/demo").fails(127, &["/no/such"]);
        assert!(dhow.cmd("ps -q").ok().out().is_empty());
        let format = ["--format", "{{.Names}} {{.State}} {{.Label \"k\"}}"];
        assert_eq!(dhow.cmd("ps -a").args(format).ok().out(), "second created \nfirst exited v");
        assert_eq!(dhow.cmd("ps -l").args(["--format", "{{.Names}}"]).ok().out(), "second");
        assert_eq!(dhow.cmd("ps -f name=fir -f exited=0 --format {{.Names}}").ok().out(), "first");
        let table = dhow.cmd("ps -a").ok().out();
        assert!(table.starts_with("CONTAINER ID   IMAGE"), "{table}");
        assert!(table.contains("Created") && table.contains("Exited (0) "), "{table}");
        let id = dhow.cmd("ps -aq --no-trunc -f name=first").ok().out();
        assert_eq!(id.len(), 64);
        dhow.cmd("rm nobody").arg(&id[..10]).fails(1, &["No such container: nobody"]);
        dhow.cmd("rm -f nobody second").warns("No such container: nobody").ok();
        assert!(dhow.cmd("ps -aq").ok().out().is_empty());
    }
}
