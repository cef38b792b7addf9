//! `load`, `save` and `import`: archives of docker and OCI, exchanged with skopeo and podman.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::process::must_run;
use support::{Compression, Dhow, Entry, Image, Layer, each_mode, fixtures, have_programs};

/// The image ID that dhow knows `name` by.
fn id_of(dhow: &Dhow, name: &str) -> String {
    dhow.cmd("inspect --format {{.Id}}").arg(name).ok().out()
}

/// The content of an archive by entry name.
fn entries_of(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        entries.insert(name.trim_end_matches('/').to_owned(), content);
    }
    entries
}

/// The image ID that skopeo sees in an archive: the digest of the configuration that it finds there.
fn id_by_skopeo(source: &str) -> String {
    let output = must_run(Command::new("skopeo").args(["inspect", "--config", "--raw", source]));
    support::image::digest(&output.stdout)
}

each_mode! {
    fn a_docker_archive_loads_from_a_file_and_from_a_pipe(dhow) {
        let image = fixtures::busybox();
        let archive = image.docker_archive(&["one:1", "example.org/two/three:2"]);
        let path = fixtures::shared_file("two-names.tar", &archive);
        let output = dhow.cmd("load -i").arg(&path).ok();
        assert_eq!(output.lines(), ["Loaded image: one:1", "Loaded image: example.org/two/three:2"]);
        assert_eq!(id_of(dhow, "one:1"), image.id());
        assert_eq!(id_of(dhow, "example.org/two/three:2"), image.id());
        dhow.cmd("rmi one:1 example.org/two/three:2").ok();
        dhow.cmd("load").stdin(archive).ok();
        assert_eq!(id_of(dhow, "one:1"), image.id());
    }

    fn an_image_without_a_name_is_announced_by_its_id(dhow) {
        let image = fixtures::busybox();
        let output = dhow.cmd("load").stdin(image.docker_archive(&[])).ok();
        assert_eq!(output.out(), format!("Loaded image ID: {}", image.id()));
        assert_eq!(id_of(dhow, &image.id()), image.id());
    }

    fn compressed_archives_load(dhow) {
        let archive = fixtures::busybox().docker_archive(&["packed:1"]);
        let gzip = {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&archive).unwrap();
            encoder.finish().unwrap()
        };
        for packed in [gzip, zstd::encode_all(&archive[..], 1).unwrap()] {
            dhow.cmd("load").stdin(packed).ok();
            assert_eq!(id_of(dhow, "packed:1"), fixtures::busybox().id());
            dhow.cmd("rmi packed:1").ok();
        }
    }

    fn an_oci_layout_loads_whatever_its_compression(dhow) {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let image = fixtures::multi_user().clone().compressed(compression);
            let archive = fixtures::shared_file("oci.tar", &tar_of(&fixtures::oci_layout(&image)));
            dhow.cmd("load -i").arg(archive).ok();
            assert_eq!(id_of(dhow, &image.id()), image.id(), "{compression:?}");
            dhow.cmd("rmi -f").arg(image.id()).ok();
        }
    }

    fn what_is_no_archive_is_refused(dhow) {
        dhow.cmd("load").stdin("this is no archive").fails(1, &[]);
        dhow.cmd("load").stdin("").fails(1, &[]);
        dhow.cmd("load -i /no/such/file").fails(1, &["/no/such/file"]);
        let without_manifest = Layer::new([Entry::file("hello", "hello\n")]).0;
        dhow.cmd("load").stdin(without_manifest).fails(1, &["manifest.json"]);
        assert_eq!(dhow.cmd("images -q").ok().out(), "");
    }

    fn a_truncated_archive_leaves_nothing(dhow) {
        let archive = fixtures::multi_user().docker_archive(&["cut:1"]);
        for length in [archive.len() / 4, archive.len() / 2, archive.len() - 4000] {
            dhow.cmd("load").stdin(&archive[..length]).fails(1, &[]);
            assert_eq!(dhow.cmd("images -aq").ok().out(), "", "{length} bytes");
        }
        let temporary = fs::read_dir(dhow.root().join("tmp")).map_or(0, Iterator::count);
        assert_eq!(temporary, 0);
    }

    fn what_was_saved_is_the_same_image(dhow) {
        let image = fixtures::multi_user();
        dhow.load(image, "multi:1");
        let saved = dhow.cmd("save multi:1").ok().stdout;
        let entries = entries_of(&saved);
        let manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["multi:1"]));
        assert_eq!(entries[manifest[0]["Config"].as_str().unwrap()], image.config_bytes());
        for (path, layer) in manifest[0]["Layers"].as_array().unwrap().iter().zip(&image.layers) {
            assert!(entries[path.as_str().unwrap()] == layer.0, "each layer's archive comes back byte by byte");
        }
        assert!(entries.contains_key("oci-layout") && entries.contains_key("index.json"), "{:?}", entries.keys());
        dhow.cmd("rmi multi:1").ok();
        dhow.cmd("load").stdin(saved).ok();
        assert_eq!(id_of(dhow, "multi:1"), image.id());
    }

    fn files_closed_to_their_owner_are_saved(dhow) {
        let layer = Layer::new([
            Entry::dir("closed/").mode(0),
            Entry::file("closed/secret", "secret").mode(0),
            Entry::file("shadow", "others").mode(0).owner(5, 6),
        ]);
        let image = Image::new([layer]);
        dhow.load(&image, "closed:1");
        let saved = dhow.cmd("save closed:1").ok().stdout;
        let blob = format!("blobs/sha256/{}", support::image::hex(&image.layers[0].diff_id()));
        assert!(entries_of(&saved)[&blob] == image.layers[0].0);
        dhow.cmd("rmi closed:1").ok();
        assert_eq!(fs::read_dir(dhow.root().join("layers")).unwrap().count(), 0);
    }

    fn an_image_of_another_time_is_not_run_with_the_wrong_owners(dhow) {
        dhow.load(fixtures::busybox(), "old:1");
        let dir = dhow.root().join("images").join(support::image::hex(&fixtures::busybox().id()));
        let record = fs::read_to_string(dir.join("image.json")).unwrap();
        let other = if record.contains("\"single\"") {
            record.replace("\"single\"", "\"mapped\"")
        } else {
            record.replace("\"mapped\"", "\"single\"")
        };
        assert_ne!(other, record);
        fs::write(dir.join("image.json"), other).unwrap();
        dhow.run("old:1 true").fails(125, &["subordinate ids", "dhow rmi -f"]);
        dhow.cmd("rmi -f old:1").ok();
        dhow.load(fixtures::busybox(), "old:1");
        dhow.run("old:1 true").ok();
    }

    fn many_loads_and_removals_at_once_agree(dhow) {
        let images = [fixtures::busybox(), fixtures::multi_user()];
        let archives = [0, 1].map(|n| {
            fixtures::shared_file(&format!("at-once-{n}.tar"), &images[n].docker_archive(&[&format!("at-once:{n}")]))
        });
        std::thread::scope(|scope| {
            for (n, archive) in archives.iter().enumerate() {
                for _ in 0..3 {
                    scope.spawn(move || dhow.cmd("load -i").arg(archive).ok());
                    // It may come too early.
                    scope.spawn(move || dhow.cmd("rmi -f").arg(format!("at-once:{n}")).output());
                }
            }
        });
        for (n, archive) in archives.iter().enumerate() {
            dhow.cmd("load -i").arg(archive).ok();
            assert_eq!(id_of(dhow, &format!("at-once:{n}")), images[n].id());
        }
        dhow.run("at-once:0 true").ok();
        dhow.cmd("rmi at-once:0 at-once:1").ok();
        assert_eq!(fs::read_dir(dhow.root().join("layers")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dhow.root().join("tmp")).unwrap().count(), 0);
    }

    fn several_images_share_an_archive(dhow) {
        let (one, two) = (fixtures::busybox(), fixtures::multi_user());
        dhow.load(one, "one:1");
        dhow.load(two, "two:2");
        let file = dhow.home().join("both.tar");
        dhow.cmd("save -o").arg(&file).args(["one:1", "two:2"]).ok();
        dhow.cmd("rmi one:1 two:2").ok();
        let output = dhow.cmd("load -i").arg(&file).ok().lines();
        assert_eq!(output, ["Loaded image: one:1", "Loaded image: two:2"]);
        assert_eq!((id_of(dhow, "one:1"), id_of(dhow, "two:2")), (one.id(), two.id()));
    }

    fn saving_what_is_missing_writes_nothing(dhow) {
        let file = dhow.home().join("none.tar");
        dhow.cmd("save -o").arg(&file).arg("absent").fails(1, &["absent"]);
        assert!(!file.exists());
        assert_eq!(fs::read_dir(dhow.home()).unwrap().flatten().filter(|entry| entry.file_name() != ".docker").count(), 0);
    }

    fn skopeo_and_podman_read_what_was_saved(dhow) {
        if !have_programs(&["skopeo", "podman"]) {
            return;
        }
        let image = fixtures::multi_user();
        dhow.load(image, "multi:1");
        let file = dhow.home().join("multi.tar");
        dhow.cmd("save -o").arg(&file).arg("multi:1").ok();
        assert_eq!(id_by_skopeo(&format!("docker-archive:{}", file.display())), image.id());
        assert_eq!(id_by_skopeo(&format!("oci-archive:{}", file.display())), image.id());
        if support::account::is_root() {
            let podman = Podman::new(dhow);
            podman.run(&["load", "-q", "-i", file.to_str().unwrap()]);
            assert_eq!(podman.run(&["inspect", "--format", "{{.Id}}", "multi:1"]), image.id()[7..]);
        }
    }

    fn what_skopeo_and_podman_wrote_loads(dhow) {
        if !have_programs(&["skopeo", "podman"]) {
            return;
        }
        let image = fixtures::multi_user();
        let layout = fixtures::oci_layout(image);
        for (kind, name) in [("docker-archive", ":skopeo:1"), ("oci-archive", ":skopeo:1")] {
            let file = dhow.dir().join(format!("{kind}.tar"));
            must_run(Command::new("skopeo").args(["copy", "-q", "--insecure-policy"]).args([
                format!("oci:{}:latest", layout.display()),
                format!("{kind}:{}{name}", file.display()),
            ]));
            dhow.give(&file);
            dhow.cmd("load -i").arg(&file).ok();
            assert_eq!(id_of(dhow, "skopeo:1"), image.id(), "{kind}");
            dhow.cmd("rmi skopeo:1").ok();
        }
        if support::account::is_root() {
            let podman = Podman::new(dhow);
            let archive = fixtures::docker_archive(image, "podman:1");
            podman.run(&["load", "-q", "-i", archive.to_str().unwrap()]);
            for format in ["docker-archive", "oci-archive"] {
                let file = dhow.dir().join(format!("podman-{format}.tar"));
                podman.run(&["save", "-q", "--format", format, "-o", file.to_str().unwrap(), "podman:1"]);
                dhow.give(&file);
                dhow.cmd("load -i").arg(&file).ok();
                // podman writes the configuration anew where it was docker's and becomes OCI's.
                let id = id_by_skopeo(&format!("{format}:{}", file.display()));
                assert!(format == "oci-archive" || id == image.id());
                assert_eq!(id_of(dhow, "localhost/podman:1"), id, "{format}");
                dhow.cmd("rmi localhost/podman:1").ok();
            }
        }
    }

    fn a_file_system_archive_becomes_an_image(dhow) {
        let layer = fixtures::busybox_layer();
        let file = fixtures::shared_file("rootfs.tar", &layer.0);
        let output = dhow
            .cmd("import --change").arg("CMD [\"echo\", \"imported\"]").args(["--change", "ENV COLOUR=blue", "--change", "USER worker"])
            .args(["-m", "made by import"]).arg(&file).arg("imported:1").ok();
        assert_eq!(output.out(), id_of(dhow, "imported:1"));
        assert_eq!(dhow.run("imported:1").ok().out(), "imported");
        assert_eq!(dhow.run("imported:1").sh("echo $COLOUR $(id -u)").ok().out(), "blue 1000");
        let config = dhow.cmd("inspect imported:1").ok().json();
        assert_eq!(config[0]["RootFS"]["Layers"], serde_json::json!([layer.diff_id()]));
        assert_eq!(config[0]["Comment"], "made by import");
        let piped = dhow.cmd("import - piped").stdin(layer.0).ok();
        assert_eq!(piped.out(), id_of(dhow, "piped:latest"));
        dhow.cmd("import /no/such/file x").fails(1, &["/no/such/file"]);
        dhow.cmd("import --change").arg("RUN something").arg(&file).fails(1, &["RUN"]);
    }

    fn a_real_distribution_survives_load_run_and_save(dhow) {
        let Some(image) = support::debian::image() else { return };
        dhow.load(image, "debian:test");
        let output = dhow.run("debian:test").args(["sh", "-c", ". /etc/os-release; echo $ID; dpkg --audit; perl -e 'print 6*7'"]).ok();
        assert_eq!(output.out(), "debian\n42");
        let file = dhow.home().join("debian.tar");
        dhow.cmd("save -o").arg(&file).arg("debian:test").ok();
        let saved = fs::read(&file).unwrap();
        let layer = format!("blobs/sha256/{}", support::image::hex(&image.layers[0].diff_id()));
        assert!(entries_of(&saved)[&layer] == image.layers[0].0);
    }
}

/// The files of a directory as a tar archive with relative names.
fn tar_of(dir: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", dir).unwrap();
    builder.into_inner().unwrap()
}

/// Debian's podman with a store of its own. Image commands only, for which it needs no cgroups.
struct Podman {
    store: std::path::PathBuf,
}

impl Podman {
    fn new(dhow: &Dhow) -> Self {
        let store = dhow.dir().join("podman");
        fs::create_dir_all(&store).unwrap();
        Self { store }
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.store.join("root")).arg("--runroot").arg(self.store.join("run"));
        command
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--log-level", "error"])
            .args(args);
        must_run(&mut command).out()
    }
}
