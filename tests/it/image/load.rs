//! `load`: docker's and OCI's archives, from files and pipes, whole and damaged.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::id_of;
use crate::support::podman::Podman;
use crate::support::process::must_run;
use crate::support::skopeo::id_by_skopeo;
use crate::support::{Compression, Entry, Layer, each_mode, fixtures, have_programs};

/// A directory as a tar archive with relative names.
fn tar_of(dir: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", dir).unwrap();
    builder.into_inner().unwrap()
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

    fn an_image_of_another_time_is_not_run_with_the_wrong_owners(dhow) {
        dhow.load(fixtures::busybox(), "old:1");
        let dir = dhow.root().join("images").join(crate::support::image::hex(&fixtures::busybox().id()));
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
        if crate::support::account::is_root() {
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
}
