//! `push` to Debian's registry and to one that misbehaves: what arrives, what is not sent again, and the messages.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::faulty_proxy::{Action, FaultyProxy};
use crate::support::process::must_run;
use crate::support::registry::{Options, PASSWORD, USER};
use crate::support::scripted_server::{Reply, ScriptedServer};
use crate::support::skopeo::manifest;
use crate::support::skopeo::raw;
use crate::support::{Dhow, Entry, Image, Layer, Mode, Registry, each_mode, fixtures};

const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// The digest in the last line of a push.
fn digest_of(output: &str) -> String {
    let line = output.lines().last().unwrap();
    line.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned()
}

/// A layer with `bytes` bytes that do not compress.
fn noise(bytes: u32) -> Layer {
    let content: Vec<u8> =
        (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (n >> 7) as u8).collect();
    // Every byte depends on more than its neighbours.
    let mut state = 1_u64;
    let content: Vec<u8> = content
        .into_iter()
        .map(|byte| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            byte ^ (state >> 56) as u8
        })
        .collect();
    Layer::new([Entry::file("noise", content)])
}

each_mode! {
    fn what_is_pushed_is_what_was_there(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let image = fixtures::multi_user();
        let name = registry.name("fleet/multi:1");
        dhow.load(image, &name);
        let output = dhow.cmd("push").arg(&name).ok().out();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[0], format!("The push refers to repository [{}]", registry.name("fleet/multi")));
        assert_eq!(lines.iter().filter(|line| line.ends_with(": Preparing")).count(), image.layers.len());
        assert_eq!(lines.iter().filter(|line| line.ends_with(": Pushed")).count(), image.layers.len());
        let there = raw(&name);
        assert_eq!(*lines.last().unwrap(), format!("1: digest: {} size: {}", crate::support::image::digest(&there), there.len()));
        let there: serde_json::Value = serde_json::from_slice(&there).unwrap();
        assert_eq!(there["mediaType"], SCHEMA2);
        assert_eq!(there["config"]["digest"], image.id());
        for layer in there["layers"].as_array().unwrap() {
            assert_eq!(layer["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
        }
        let digests = dhow.cmd("inspect --format").arg("{{index .RepoDigests 0}}").arg(&name).ok().out();
        assert_eq!(digests, format!("{}@{}", registry.name("fleet/multi"), digest_of(&output)));
        // skopeo unpacks and compares every digest.
        let copy = dhow.make_dir("copy");
        must_run(Command::new("skopeo").args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"])
            .arg(format!("docker://{name}")).arg(format!("docker-archive:{}/archive.tar", copy.display())));
        dhow.cmd("rmi -f").arg(image.id()).ok();
        dhow.cmd("pull -q").arg(&name).ok();
        assert_eq!(dhow.cmd("inspect --format {{.Id}}").arg(&name).ok().out(), image.id());
    }

    fn the_second_push_sends_nothing_and_says_the_same(dhow) {
        let (Some(registry), Some(other)) = (Registry::plain(), Registry::plain()) else { return };
        let name = registry.name("again:1");
        dhow.load(fixtures::busybox(), &name);
        let first = dhow.cmd("push").arg(&name).ok().out();
        let second = dhow.cmd("push").arg(&name).ok().out();
        assert!(second.contains(": Layer already exists") && !second.contains("Pushed"), "{second}");
        assert_eq!(digest_of(&first), digest_of(&second));
        dhow.cmd("tag").args([&name, &other.name("else/where:2")]).ok();
        let third = dhow.cmd("push").arg(other.name("else/where:2")).ok().out();
        assert!(third.contains(": Pushed"), "{third}");
        assert_eq!(digest_of(&first), digest_of(&third));
        dhow.cmd("tag").args([&name, &registry.name("moved/on")]).ok();
        let mounted = dhow.cmd("push").arg(registry.name("moved/on")).ok().out();
        assert!(mounted.starts_with("Using default tag: latest\n"), "{mounted}");
        assert!(mounted.contains(": Mounted from again") && !mounted.contains("Pushed"), "{mounted}");
        assert_eq!(digest_of(&first), digest_of(&mounted));
    }

    fn a_pulled_image_keeps_its_manifest_where_it_can(dhow) {
        let (Some(registry), Some(other)) = (Registry::plain(), Registry::plain()) else { return };
        registry.push(fixtures::multi_user(), "origin:1");
        dhow.cmd("pull -q").arg(registry.name("origin:1")).ok();
        dhow.cmd("tag").args([&registry.name("origin:1"), &registry.name("copy:1")]).ok();
        let output = dhow.cmd("push").arg(registry.name("copy:1")).ok().out();
        assert_eq!(output.lines().filter(|line| line.ends_with("Mounted from origin")).count(), 4, "{output}");
        assert_eq!(raw(&registry.name("copy:1")), raw(&registry.name("origin:1")));
        // Another registry has none of its blobs, and nobody else compresses as their maker did.
        dhow.cmd("tag").args([&registry.name("origin:1"), &other.name("far:1")]).ok();
        let output = dhow.cmd("push").arg(other.name("far:1")).ok().out();
        assert!(output.contains("The manifest will be a new one"), "{output}");
        let there = manifest(&other.name("far:1"));
        assert_eq!((&there["mediaType"], &there["config"]["digest"]), (&OCI.into(), &fixtures::multi_user().id().into()));
    }

    fn layers_that_were_not_compressed_come_back_to_the_byte(dhow) {
        let (Some(registry), Some(other)) = (Registry::plain(), Registry::plain()) else { return };
        let name = registry.name("plain:1");
        dhow.load(fixtures::busybox(), &name);
        dhow.cmd("push -q --compression uncompressed").arg(&name).ok();
        dhow.cmd("rmi").arg(&name).ok();
        dhow.cmd("pull -q").arg(&name).ok();
        dhow.cmd("tag").args([&name, &other.name("plain:1")]).ok();
        dhow.cmd("push -q").arg(other.name("plain:1")).ok();
        assert_eq!(raw(&name), raw(&other.name("plain:1")));
    }

    fn form_and_compression_are_as_asked(dhow) {
        let Some(registry) = Registry::plain() else { return };
        dhow.load(fixtures::busybox(), "busybox:latest");
        for (flags, kind, layer) in [
            ("--compression zstd --compression-level 9", OCI, "application/vnd.oci.image.layer.v1.tar+zstd"),
            ("--compression gzip --format oci", OCI, "application/vnd.oci.image.layer.v1.tar+gzip"),
            ("--compression uncompressed", SCHEMA2, "application/vnd.docker.image.rootfs.diff.tar"),
            ("--compression-level 9", SCHEMA2, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ] {
            let name = registry.name(&format!("form{}", flags.len()));
            dhow.cmd("tag busybox").arg(&name).ok();
            dhow.cmd("push -q").words(flags).arg(&name).ok();
            let there = manifest(&name);
            assert_eq!((&there["mediaType"], &there["layers"][0]["mediaType"]), (&kind.into(), &layer.into()), "{flags}");
            dhow.cmd("pull -q").arg(&name).ok();
        }
        dhow.cmd("push --compression zstd --format docker").arg(registry.name("x")).fails(1, &["does not exist locally"]);
        dhow.cmd("tag busybox").arg(registry.name("x")).ok();
        dhow.cmd("push --compression zstd --format docker").arg(registry.name("x")).fails(1, &["zstd"]);
        dhow.cmd("push --compression lzma x").fails(1, &["lzma"]);
        dhow.cmd("push --compression gzip --compression-level 10 x").fails(1, &["10"]);
    }

    fn names_are_taken_as_docker_takes_them(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let name = registry.name("many");
        dhow.load(fixtures::busybox(), &format!("{name}:one"));
        dhow.cmd("tag").args([format!("{name}:one"), format!("{name}:two")]).ok();
        let output = dhow.cmd("push -a").arg(&name).ok().out();
        assert!(output.contains("one: digest: ") && output.contains("two: digest: "), "{output}");
        assert_eq!(dhow.cmd("image push -q").arg(format!("{name}:one")).ok().out(), format!("{name}:one"));
        let tagged = format!("{name}:one");
        dhow.cmd("push -a").arg(&tagged).fails(1, &["tag can't be used with --all-tags/-a"]);
        dhow.cmd("push").arg(registry.name("none")).fails(1, &["An image does not exist locally with the tag", "none"]);
        dhow.cmd("push").arg(format!("{name}@sha256:{}", "0".repeat(64))).fails(1, &["cannot push a digest reference"]);
        dhow.cmd("push --platform linux/s390x").arg(&tagged).fails(1, &["linux/s390x"]);
    }

    fn what_was_committed_is_pushed(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let base = registry.name("base:1");
        dhow.load(fixtures::busybox(), &base);
        dhow.cmd("push -q").arg(&base).ok();
        dhow.cmd("run --network none --name changed").arg(&base).sh("echo new > /file; chown 7:8 /file; rm -r /tmp").ok();
        dhow.cmd("commit changed").arg(registry.name("changed:1")).ok();
        let output = dhow.cmd("push").arg(registry.name("changed:1")).ok().out();
        // Only the change is sent.
        assert!(output.contains(": Mounted from base") && output.contains(": Pushed"), "{output}");
        dhow.cmd("rm changed").ok();
        dhow.cmd("rmi").arg(registry.name("changed:1")).ok();
        let seen = dhow.run("").arg("--pull=always").arg("-q").arg(registry.name("changed:1")).sh("cat /file; ls /tmp 2>&1 | wc -l").ok().out();
        assert_eq!(seen, "new\n1");
        let there = manifest(&registry.name("changed:1"));
        let blob = registry.blob(there["layers"][1]["digest"].as_str().unwrap());
        let listing = must_run(Command::new("tar").args(["-tzv", "--numeric-owner", "-f"]).arg(blob)).out();
        // With one id only, owners that a container gives its files are not kept.
        let owner = if dhow.mode == Mode::Mapped { " 7/8 " } else { " 0/0 " };
        assert!(listing.lines().any(|line| line.contains(owner) && line.ends_with(" file")), "{listing}");
    }

    fn a_registry_with_a_password_wants_it(dhow) {
        let Some(registry) = Registry::with(Options { password: true, ..Options::default() }) else { return };
        let name = registry.name("private:1");
        dhow.load(fixtures::busybox(), &name);
        dhow.cmd("push").arg(&name).fails(1, &["unauthorized: authentication required"]);
        dhow.cmd("login --password-stdin -u").args([USER, &registry.host()]).stdin(PASSWORD).warns("unencrypted").ok();
        dhow.cmd("push").arg(&name).ok();
    }

    fn a_cut_upload_is_made_good(dhow) {
        let Some(registry) = Registry::plain() else { return };
        let (pieces, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let front = FaultyProxy::before(&registry, move |request| {
            let method = request.line.split(' ').next().unwrap();
            match method {
                // The second piece of the large layer, half way, and the answer to what ends the first blob.
                "PATCH" if pieces.fetch_add(1, Ordering::Relaxed) == 1 => Action::CutRequest(3 << 20),
                "PUT" if request.line.contains("/blobs/") && ends.fetch_add(1, Ordering::Relaxed) == 0 => Action::Cut(0),
                _ => Action::Pass,
            }
        });
        let image = Image::new([fixtures::busybox_layer(), noise(18 << 20)]);
        let name = front.name("large:1");
        dhow.load(&image, &name);
        dhow.cmd("push").arg(&name).ok();
        // This registry knows no way on from the middle of a piece, so the layer went there once more.
        let asked: Vec<String> = front.requests().iter().map(|request| request.line.clone()).collect();
        assert!(asked.iter().any(|line| line.starts_with("GET ") && line.contains("/blobs/uploads/")), "{asked:#?}");
        assert_eq!(asked.iter().filter(|line| line.starts_with("POST ")).count(), 4, "{asked:#?}");
        dhow.cmd("rmi -f").arg(image.id()).ok();
        dhow.cmd("pull -q").arg(registry.name("large:1")).ok();
        assert_eq!(dhow.cmd("images -q --no-trunc").ok().out(), image.id());
    }
}

#[test]
fn the_same_image_has_the_same_digest_whoever_pushes() {
    let Some(registry) = Registry::plain() else { return };
    let mut digests = Vec::new();
    for mode in [Mode::Mapped, Mode::Single] {
        let Some(dhow) = Dhow::new(mode) else { return };
        let name = registry.name(&format!("whoever{}:1", digests.len()));
        dhow.load(fixtures::multi_user(), &name);
        digests.push(digest_of(&dhow.cmd("push").arg(&name).ok().out()));
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn refusals_are_told_in_dockers_words() {
    let Some(dhow) = Dhow::new(Mode::Single) else { return };
    let server = ScriptedServer::new(|request, _| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "GET" => Reply::new(200, "{}"),
        _ => Reply::new(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
    });
    let name = format!("{}/x/y:1", server.host());
    dhow.load(fixtures::busybox(), &name);
    dhow.cmd("push").arg(&name).fails(1, &["denied: requested access to the resource is denied"]);
}

#[test]
fn an_upload_that_was_forgotten_begins_again() {
    let Some(dhow) = Dhow::new(Mode::Single) else { return };
    // Forgets the first upload of every blob; then takes whatever comes.
    let server = ScriptedServer::new(|request, before| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "GET" => Reply::new(200, "{}"),
        "POST" => Reply::new(202, "").header("Location", format!("/v2/x/blobs/uploads/{before}?state=a")),
        "PUT" if request.target.contains("/manifests/") => Reply::new(201, ""),
        "PUT" if request.target.contains("uploads/3?") || request.target.contains("uploads/2?") => {
            Reply::new(404, "")
        }
        _ => Reply::new(201, ""),
    });
    let name = format!("{}/x:1", server.host());
    let image = Image::new([Layer::new([Entry::file("a", "text")])]);
    dhow.load(&image, &name);
    dhow.cmd("push --compression uncompressed").arg(&name).ok();
    let requests = server.requests();
    assert!(requests.iter().filter(|request| request.method == "POST").count() > 2, "{requests:#?}");
    assert!(requests.iter().any(|request| request.target.contains("?state=a&digest=sha256%3A")));
}

#[test]
fn an_upload_goes_on_where_it_was_cut() {
    let Some(dhow) = Dhow::new(Mode::Single) else { return };
    const ARRIVED: usize = 5_000_000;
    let server = ScriptedServer::new(|request, _| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        "GET" if request.target.contains("/uploads/") => Reply::new(204, "")
            .header("Range", format!("0-{}", ARRIVED - 1))
            .header("Location", "/v2/x/blobs/uploads/after"),
        "GET" => Reply::new(200, "{}"),
        "POST" => Reply::new(202, "").header("Location", "/v2/x/blobs/uploads/before"),
        "PATCH" if request.target.ends_with("before") => Reply::new(503, ""),
        "PATCH" => Reply::new(202, ""),
        _ => Reply::new(201, ""),
    });
    let name = format!("{}/x:1", server.host());
    dhow.load(&Image::new([Layer::new([Entry::file("a", "0123456789abcdef".repeat(9 << 16))])]), &name);
    dhow.cmd("push --compression uncompressed").arg(&name).ok();
    let requests = server.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.header("content-range")).collect();
    assert_eq!(ranges, ["0-8388607", "5000000-8388607"]);
    let pieces: Vec<_> = requests.iter().filter(|request| request.method == "PATCH").collect();
    assert_eq!(pieces[0].body[ARRIVED..], pieces[1].body);
    let end = requests
        .iter()
        .find(|request| request.method == "PUT" && request.target.contains("after?digest="))
        .unwrap();
    assert_eq!(
        crate::support::image::digest(&[&pieces[0].body, &end.body].map(|text| text.as_bytes()).concat()),
        { end.target.rsplit("digest=").next().unwrap().replace("%3A", ":") }
    );
}
