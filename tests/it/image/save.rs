//! `save`: archives that dhow, skopeo and podman read again.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::id_of;
use crate::support::podman::Podman;
use crate::support::skopeo::id_by_skopeo;
use crate::support::{Entry, Image, Layer, each_mode, fixtures, have_programs};

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

each_mode! {
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
        let blob = format!("blobs/sha256/{}", crate::support::image::hex(&image.layers[0].diff_id()));
        assert!(entries_of(&saved)[&blob] == image.layers[0].0);
        dhow.cmd("rmi closed:1").ok();
        assert_eq!(fs::read_dir(dhow.root().join("layers")).unwrap().count(), 0);
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
        if crate::support::account::is_root() {
            let podman = Podman::new(dhow);
            podman.run(&["load", "-q", "-i", file.to_str().unwrap()]);
            assert_eq!(podman.run(&["inspect", "--format", "{{.Id}}", "multi:1"]), image.id()[7..]);
        }
    }

    fn a_real_distribution_survives_load_run_and_save(dhow) {
        let Some(image) = crate::support::debian::image() else { return };
        dhow.load(&image, "debian:test");
        let output = dhow.run("debian:test").args(["sh", "-c", ". /etc/os-release; echo $ID; dpkg --audit; perl -e 'print 6*7'"]).ok();
        assert_eq!(output.out(), "debian\n42");
        let file = dhow.home().join("debian.tar");
        dhow.cmd("save -o").arg(&file).arg("debian:test").ok();
        let saved = fs::read(&file).unwrap();
        let layer = format!("blobs/sha256/{}", crate::support::image::hex(&image.layers[0].diff_id()));
        assert!(entries_of(&saved)[&layer] == image.layers[0].0);
    }
}
