//! `build --output` and `--cache-to`: registries, archives, directories, several platforms, attestations, caches.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::fixtures;
use crate::support::process::must_run;
use crate::support::skopeo::manifest;
use crate::support::skopeo::raw;
use crate::support::{Cmd, Dhow, Mode, Registry, each_mode};
use serde_json::{Value, json};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A context with a Dockerfile and a few files.
fn context(dhow: &Dhow, dockerfile: &str) -> PathBuf {
    dhow.write("context/Dockerfile", dockerfile);
    dhow.write("context/one", "one\n");
    dhow.write("context/two", "two\n");
    let dir = dhow.dir().join("context");
    dhow.give(&dir);
    dir
}

const SMALL: &str =
    "FROM scratch\nCOPY one /dir/\nCOPY --chown=1000:50 --chmod=640 two /dir/two\nLABEL a=b\n";

fn build(dhow: &Dhow, flags: &str) -> Cmd {
    let dir = dhow.dir().join("context");
    dhow.cmd("build -q").words(flags).arg(dir)
}

each_mode! {
    fn a_reader_of_the_output_that_goes_away_is_no_error(dhow) {
        dhow.with_busybox();
        dhow.write("home/ctx/Dockerfile", "FROM busybox\nRUN head -c 3000000 /dev/zero >/big\n");
        for kind in ["tar", "oci"] {
            let line = format!("build --network none --provenance=false -o type={kind},dest=- ctx");
            let script = format!("{} {line} 2>err | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}", fixtures::binary().display());
            // 128 + SIGPIPE, which kills docker.
            assert_eq!(dhow.tool("bash -c").arg(&script).ok().out(), "141", "{kind}");
            let said = std::fs::read_to_string(dhow.home().join("err")).unwrap();
            assert!(!said.contains("failed to build"), "{said}");
        }
    }

    fn files_come_out_as_directory_and_archive(dhow) {
        context(dhow, SMALL);
        let out = dhow.make_dir("out");
        build(dhow, "-o").cwd(&out).output();
        dhow.cmd("build -q -o files").arg(dhow.dir().join("context")).cwd(&out).ok();
        assert_eq!(fs::read_to_string(out.join("files/dir/one")).unwrap(), "one\n");
        let two = fs::metadata(out.join("files/dir/two")).unwrap();
        // They are the user's own, whoever has them in the image.
        assert_eq!((two.uid(), two.permissions().mode() & 0o777), (fs::metadata(&out).unwrap().uid(), 0o640));
        let archive = dhow.cmd("build -q -o -").arg(dhow.dir().join("context")).ok().stdout;
        let mut archive = tar::Archive::new(&archive[..]);
        let owners: Vec<_> = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().uid().unwrap(), entry.header().gid().unwrap())
        }).collect();
        assert_eq!(owners, [("dir/".to_owned(), 0, 0), ("dir/one".to_owned(), 0, 0), ("dir/two".to_owned(), 1000, 50)]);
    }

    fn archives_are_read_by_others_and_by_dhow(dhow) {
        context(dhow, SMALL);
        let out = dhow.make_dir("out");
        for (kind, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
            let file = out.join(kind);
            let id = dhow.cmd("build -q -t ship:1 -o").arg(format!("type={kind},dest={}", file.display())).arg(dhow.dir().join("context")).ok().out();
            let config = must_run(Command::new("skopeo").args(["inspect", "--config", "--raw"]).arg(format!("{transport}:{}", file.display()))).stdout;
            assert_eq!(crate::support::image::digest(&config), id);
            dhow.cmd("load -q -i").arg(&file).ok();
            assert_eq!(dhow.cmd("inspect --format {{.Id}} ship:1").ok().out(), id);
            dhow.cmd("rmi ship:1").ok();
        }
        // A layout instead of an archive.
        let dir = out.join("layout");
        dhow.cmd("build -q -t ship:1 -o").arg(format!("type=oci,tar=false,dest={}", dir.display())).arg(dhow.dir().join("context")).ok();
        must_run(Command::new("skopeo").arg("inspect").arg(format!("oci:{}:1", dir.display())));
    }

    fn a_build_is_pushed_and_podman_sees_the_same(dhow) {
        let Some(registry) = Registry::plain() else { return };
        context(dhow, SMALL);
        let name = registry.name("built:1");
        let id = build(dhow, "--push -t").args([&name]).env("DOCKER_BUILDKIT", "1");
        drop(id);
        let id = dhow.cmd("build -q --push -t").arg(&name).arg("--metadata-file").arg(dhow.make_dir("out").join("meta")).arg(dhow.dir().join("context")).ok().out();
        let there = manifest(&name);
        assert_eq!(there["config"]["digest"], id);
        let meta: Value = serde_json::from_slice(&fs::read(dhow.dir().join("out/meta")).unwrap()).unwrap();
        assert_eq!(meta["containerimage.digest"], crate::support::image::digest(&raw(&name)));
        assert_eq!(meta["image.name"], name);
        // It is here too, and pushing it by itself says the same.
        assert_eq!(dhow.cmd("inspect --format {{.Id}}").arg(&name).ok().out(), id);
        let output = dhow.cmd("push").arg(&name).ok().out();
        assert!(output.contains("Layer already exists") && output.contains(&crate::support::image::digest(&raw(&name))), "{output}");
        dhow.cmd("build -q -o").arg("type=image,push=true").arg(dhow.dir().join("context")).fails(1, &["tag is needed when pushing to registry"]);
    }

    fn several_platforms_are_one_name(dhow) {
        let Some(registry) = Registry::plain() else { return };
        context(dhow, "FROM scratch\nARG TARGETARCH\nCOPY one /$TARGETARCH\n");
        let name = registry.name("fleet:1");
        dhow.cmd("build -q --platform linux/amd64,linux/arm64 -t").arg(&name).arg(dhow.dir().join("context")).ok();
        assert_eq!(dhow.cmd("images -q").ok().lines().len(), 1);
        let architecture = |flags: &str| dhow.cmd("image inspect --format {{.Architecture}}").words(flags).arg(&name).ok().out();
        assert_eq!((architecture(""), architecture("--platform linux/arm64")), (crate::support::image::go_architecture().to_owned(), "arm64".to_owned()));
        dhow.cmd("tag").args([&name, &registry.name("again:1")]).ok();
        dhow.cmd("push").arg(&name).ok();
        dhow.cmd("push -q").arg(registry.name("again:1")).ok();
        let there = manifest(&name);
        let platforms: Vec<&Value> = there["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]["architecture"]).collect();
        assert_eq!(platforms, ["amd64", "arm64"]);
        assert_eq!(raw(&name), raw(&registry.name("again:1")));
        dhow.cmd("push -q --platform linux/arm64").arg(&name).ok();
        assert_eq!(manifest(&name)["layers"].as_array().unwrap().len(), 1);
        let saved = dhow.make_dir("saved").join("fleet.tar");
        dhow.cmd("save -o").args([saved.as_os_str(), name.as_ref()]).ok();
        let index = must_run(Command::new("skopeo").args(["inspect", "--raw"]).arg(format!("oci-archive:{}", saved.display()))).stdout;
        let index: Value = serde_json::from_slice(&index).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        dhow.cmd("image prune -f").ok();
        dhow.cmd("rmi").arg(&name).ok();
        dhow.cmd("rmi").arg(registry.name("again:1")).ok();
        assert_eq!(fs::read_dir(dhow.root().join("images")).map_or(0, Iterator::count), 0);
        let out = dhow.make_dir("out");
        dhow.cmd("build -q --platform linux/amd64,linux/arm64 -o").arg(&out).arg(dhow.dir().join("context")).ok();
        assert_eq!(fs::read_to_string(out.join("linux_arm64/arm64")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(out.join("linux_amd64/amd64")).unwrap(), "one\n");
        for left in ["tmp", "trash"] {
            assert_eq!(fs::read_dir(dhow.root().join(left)).map_or(0, Iterator::count), 0, "{left}");
        }
    }

    fn provenance_is_attached_as_buildkit_does(dhow) {
        let Some(registry) = Registry::plain() else { return };
        context(dhow, &format!("ARG SECRET\n{SMALL}"));
        let name = registry.name("attested:1");
        dhow.cmd("build -q --push --provenance mode=min --build-arg SECRET=x --annotation index:k=v -t").arg(&name).arg(dhow.dir().join("context")).ok();
        let index = manifest(&name);
        assert_eq!((&index["mediaType"], &index["annotations"]), (&OCI_INDEX.into(), &json!({"k": "v"})));
        let (image, attestation) = (&index["manifests"][0], &index["manifests"][1]);
        assert_eq!(image["mediaType"], OCI);
        assert_eq!(attestation["platform"], json!({"architecture": "unknown", "os": "unknown"}));
        assert_eq!(attestation["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
        assert_eq!(attestation["annotations"]["vnd.docker.reference.digest"], image["digest"]);
        let pinned = format!("{}@{}", registry.name("attested"), attestation["digest"].as_str().unwrap());
        let attestation = manifest(&pinned);
        assert_eq!(attestation["layers"][0]["mediaType"], "application/vnd.in-toto+json");
        let blob = registry.blob(attestation["layers"][0]["digest"].as_str().unwrap());
        let statement: Value = serde_json::from_slice(&fs::read(blob).unwrap()).unwrap();
        assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v0.2");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], image["digest"].as_str().unwrap()[7..]);
        assert_eq!(statement["predicate"]["invocation"]["configSource"]["entryPoint"], "Dockerfile");
        assert!(!statement.to_string().contains("build-arg"), "{statement}");
        let refused = dhow.cmd("build --sbom=true").arg(dhow.dir().join("context")).output();
        assert!(refused.code == 1 && refused.err().contains("no scanner"), "{}", refused.err());
        // An image with an attestation is pulled as any other.
        dhow.cmd("rmi -f").arg(&name).ok();
        dhow.cmd("pull -q").arg(&name).ok();
    }

    fn caches_elsewhere_spare_the_work(dhow) {
        let Some(registry) = Registry::plain() else { return };
        dhow.with_busybox();
        context(dhow, "FROM busybox AS tools\nRUN echo made > /made; cat /proc/sys/kernel/random/uuid > /once\nFROM busybox\nCOPY --from=tools /once /once\nWORKDIR /w\nRUN test -f /once && true\n");
        let (place, local) = (registry.name("cache:1"), dhow.make_dir("local"));
        let inline = registry.name("inline:1");
        let id = dhow.cmd("build -q --push -t").arg(&inline).arg("--cache-to").arg(format!("type=registry,ref={place},mode=max"))
            .arg("--cache-to").arg(format!("type=local,dest={},mode=max", local.display())).arg("--cache-to=type=inline").arg(dhow.dir().join("context")).ok().out();
        let cache = manifest(&place);
        assert_eq!(cache["config"]["mediaType"], "application/vnd.buildkit.cacheconfig.v0");
        let layers = dhow.cmd("inspect --format").arg("{{json .RootFS.Layers}}").arg(&id).ok().out();
        for from in [format!("type=registry,ref={place}"), format!("type=local,src={}", local.display())] {
            // Another store, which has the base alone.
            let root = dhow.make_dir(&format!("root{}", from.len()));
            let archive = crate::support::fixtures::docker_archive(crate::support::fixtures::busybox(), "busybox:latest");
            dhow.cmd("load -q -i").arg(&archive).env("DHOW_ROOT", &root).ok();
            let steps = dhow.cmd("build --progress plain -t again --cache-from").arg(&from).arg(dhow.dir().join("context")).env("DHOW_ROOT", &root).after_shell("exec 2>&1").output();
            assert_eq!(steps.code, 0, "{}{}", steps.out(), steps.err());
            let again = dhow.cmd("inspect --format").arg("{{json .RootFS.Layers}}").arg("again").env("DHOW_ROOT", &root).ok().out();
            assert_eq!(again, layers, "{from}");
        }
        for kind in ["gha", "s3", "azblob", "nonsense"] {
            let refused = dhow.cmd("build --cache-to").arg(format!("type={kind}")).arg(dhow.dir().join("context")).output();
            assert!(refused.code == 1 && refused.err().contains(kind), "{}", refused.err());
        }
    }
}

each_mode! {
    /// docker 26 exported the same, and refused `toaster` in these words. It takes any name of two parts; here both have to
    /// be of Go's systems and architectures.
    fn images_for_other_systems_are_made_where_none_of_them_runs(dhow) {
        dhow.write("context/Dockerfile", "FROM scratch\nCOPY one C:/data/\nWORKDIR app\nCOPY one two/\nCMD start\n");
        dhow.write("context/one", "one\n");
        let dir = dhow.dir().join("context");
        let out = dhow.make_dir("out");
        dhow.cmd("build -q --platform windows/amd64 -t win -o").arg(&out).arg(&dir).ok();
        assert_eq!(fs::read_to_string(out.join("data/one")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(out.join("app/two/one")).unwrap(), "one\n");
        dhow.cmd("build -q --platform windows/amd64 -t win").arg(&dir).ok();
        let image = dhow.cmd("image inspect win").ok().json()[0].clone();
        assert_eq!((&image["Os"], &image["Architecture"]), (&"windows".into(), &"amd64".into()));
        assert_eq!(image["Config"]["WorkingDir"], "\\app");
        assert_eq!(image["Config"]["Cmd"], json!(["cmd", "/S", "/C", "start"]));
        assert_eq!(image["Config"]["Env"], json!([]));
        dhow.run("win").fails(125, &["windows"]);
        dhow.cmd("build -q --platform freebsd/arm64 -t bsd").arg(&dir).ok();
        dhow.write("context/Dockerfile", "FROM scratch\nRUN true\n");
        dhow.cmd("build --platform windows/amd64").arg(&dir).fails(1, &["windows/amd64", "Linux"]);
        for unknown in ["toaster", "linux/toaster", "beos/amd64"] {
            let words = format!("\"{unknown}\": unknown operating system or architecture");
            dhow.cmd("build --platform").arg(unknown).arg(&dir).fails(1, &[&words]);
            dhow.cmd("run --platform").arg(unknown).arg("x").fails(125, &[&words]);
        }
        dhow.cmd("pull --platform windows/amd64 x").fails(1, &["windows/amd64", "Linux"]);
    }

    /// As with BuildKit, the stages that only leave files are not built again, though the cache does not hold them.
    fn a_cache_of_the_last_stage_spares_the_others(dhow) {
        let Some(registry) = Registry::plain() else { return };
        dhow.with_busybox();
        let uuid = "cat /proc/sys/kernel/random/uuid >";
        let dockerfile = |more: &str| format!("FROM busybox AS base\nRUN {uuid} /b\nFROM base AS tools\nCOPY one /in\nRUN {uuid} /t\n\
            FROM busybox AS again\nCOPY --from=tools /t /t2\nFROM busybox\nCOPY --from=tools /t /t\nRUN --mount=from=again,target=/m true\n\
            RUN --mount=from=tools,target=/m cat /m/b >/b\nCOPY --from=again /t2 /t2\n{more}");
        context(dhow, &dockerfile(""));
        let dir = dhow.dir().join("context");
        let (image, local) = (registry.name("inline:1"), dhow.make_dir("local"));
        let place = registry.name("cache:1");
        dhow.cmd("build -q --push -t").arg(&image).arg("--cache-to=type=inline").arg("--cache-to").arg(format!("type=registry,ref={place}"))
            .arg("--cache-to").arg(format!("type=local,dest={}", local.display())).arg(&dir).ok();
        let layers = |name: &str, root: &Path| dhow.cmd("image inspect -f").args(["{{json .RootFS.Layers}}", name]).env("DHOW_ROOT", root).ok().out();
        let first = layers(&image, &dhow.root());
        let cached = |from: &str, options: &str, name: &str| {
            let root = dhow.make_dir(name);
            let archive = crate::support::fixtures::docker_archive(crate::support::fixtures::busybox(), "busybox:latest");
            dhow.cmd("load -q -i").arg(&archive).env("DHOW_ROOT", &root).ok();
            let build = || dhow.cmd("build --progress plain -t again --cache-from").arg(from).words(options).arg(&dir).env("DHOW_ROOT", &root).after_shell("exec 2>&1").ok().out();
            let text = build();
            let made = layers("again", &root);
            let hits = |text: &str| text.lines().filter(|line| line.ends_with(" CACHED")).count();
            (hits(&text), made, text, hits(&build()))
        };
        // Eight steps, and the FROM of each stage that stands on an image.
        let sources = [image.clone(), format!("type=registry,ref={place}"), format!("type=local,src={}", local.display())];
        for (number, from) in sources.iter().enumerate() {
            let (hits, made, text, again) = cached(from, "", &format!("root{number}"));
            assert_eq!((hits, again), (11, 11), "{from}: {text}");
            assert_eq!(made, first, "{from}: {text}");
        }
        // What changes is made, with what it needs; the rest is still found.
        context(dhow, &dockerfile("COPY --from=tools /in /in\n"));
        let (hits, _, text, _) = cached(&sources[1], "", "changed");
        assert_eq!(hits, 3 + 5, "{text}");
        // A complete cache is complete again when it is written from itself.
        context(dhow, &dockerfile(""));
        let max = format!("type=registry,ref={},mode=max", registry.name("max:1"));
        cached(&sources[1], &format!("--cache-to {max}"), "max0");
        let (hits, made, text, _) = cached(&format!("type=registry,ref={}", registry.name("max:1")), &format!("--cache-to {max}"), "max1");
        assert_eq!(hits, 11, "{text}");
        let (hits, same, text, _) = cached(&format!("type=registry,ref={}", registry.name("max:1")), "", "max2");
        assert_eq!((hits, same), (11, made), "{text}");
    }

    fn an_image_that_holds_its_own_steps_spares_them(dhow) {
        let Some(registry) = Registry::plain() else { return };
        dhow.with_busybox();
        context(dhow, "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /once\nRUN true\nCOPY one /one\n");
        let name = registry.name("inline:1");
        dhow.cmd("build -q --push --cache-to type=inline -t").arg(&name).arg(dhow.dir().join("context")).ok();
        let root = dhow.make_dir("other");
        let archive = crate::support::fixtures::docker_archive(crate::support::fixtures::busybox(), "busybox:latest");
        dhow.cmd("load -q -i").arg(&archive).env("DHOW_ROOT", &root).ok();
        dhow.cmd("build -q -t again --cache-from").arg(&name).arg(dhow.dir().join("context")).env("DHOW_ROOT", &root).ok();
        let layers = |dhow: Cmd| dhow.words("inspect --format").arg("{{json .RootFS.Layers}}");
        let first = layers(dhow.cmd("")).arg(&name).ok().out();
        assert_eq!(layers(dhow.cmd("")).arg("again").env("DHOW_ROOT", &root).ok().out(), first);
    }
}

#[test]
fn the_same_build_has_the_same_digest_for_everybody() {
    let Some(registry) = Registry::plain() else { return };
    let mut found = Vec::new();
    for mode in [Mode::Mapped, Mode::Single] {
        let Some(dhow) = Dhow::new(mode) else { return };
        context(&dhow, SMALL);
        let name = registry.name(&format!("same{}:1", found.len()));
        dhow.cmd("build -q --push -t")
            .arg(&name)
            .arg(dhow.dir().join("context"))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .ok();
        found.push(raw(&name));
    }
    assert_eq!(found[0], found[1]);
}
