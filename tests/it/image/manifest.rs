//! `manifest` and `buildx imagetools`: multi-platform images on registries.

use std::process::Command;

use crate::support::process::must_run;
use crate::support::skopeo::manifest;
use crate::support::skopeo::raw;
use crate::support::{Dhow, Entry, Image, Layer, Mode, Registry};
use serde_json::json;

/// Pushes two images for two architectures to two repositories.
fn fleet(dhow: &Dhow, registry: &Registry) {
    for (architecture, repository) in [("amd64", "fleet/one:1"), ("arm64", "fleet/two:1")] {
        let layer = Layer::new([Entry::file("architecture", architecture)]);
        let image = Image::new([layer]).set_top("architecture", architecture);
        dhow.load(&image, &registry.name(repository));
        dhow.cmd("push -q").arg(registry.name(repository)).ok();
    }
}

#[test]
fn a_list_is_put_together_annotated_and_pushed() {
    let (Some(dhow), Some(registry)) = (Dhow::new(Mode::Single), Registry::plain()) else { return };
    fleet(&dhow, &registry);
    let (list, one, two) =
        (registry.name("fleet/all:1"), registry.name("fleet/one:1"), registry.name("fleet/two:1"));
    let created = dhow.cmd("manifest create").args([&list, &one]).ok().out();
    assert_eq!(created, format!("Created manifest list {list}"));
    dhow.cmd("manifest create")
        .args([&list, &two])
        .fails(1, &["refusing to amend an existing manifest list with no --amend flag"]);
    dhow.cmd("manifest create --amend").args([&list, &two]).ok();
    dhow.cmd("manifest annotate --variant v8 --os-features a,b").args([&list, &two]).ok();
    dhow.cmd("manifest annotate --arch pdp11")
        .args([&list, &two])
        .fails(1, &["unsupported os/arch combination: linux/pdp11"]);
    // Each of them exists, but not together.
    dhow.cmd("manifest annotate --os windows --arch s390x")
        .args([&list, &two])
        .fails(1, &["unsupported os/arch combination: windows/s390x"]);
    dhow.cmd("manifest annotate --arch arm64")
        .args([&list, &registry.name("absent")])
        .fails(1, &["does not exist in"]);
    let local = dhow.cmd("manifest inspect").arg(&list).ok().json();
    assert_eq!(
        local["manifests"][1]["platform"],
        json!({"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": ["a", "b"]})
    );
    let verbose = dhow.cmd("manifest inspect -v").args([&list, &two]).ok().json();
    assert_eq!(verbose["Ref"], two);
    assert_eq!(verbose["Descriptor"]["digest"], crate::support::image::digest(&raw(&two)));
    let pushed = dhow.cmd("manifest push --purge").arg(&list).ok().lines();
    assert_eq!(pushed.len(), 3);
    assert!(
        pushed[0].starts_with("Pushed ref ") && pushed[0].contains(" with digest: sha256:"),
        "{pushed:?}"
    );
    assert_eq!(pushed[2], crate::support::image::digest(&raw(&list)));
    let there = manifest(&list);
    assert_eq!(there["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(there["manifests"], local["manifests"]);
    dhow.cmd("manifest rm").arg(&list).fails(1, &["No such manifest"]);
    // What it names is in its own repository now.
    dhow.cmd("rmi -f").args([&one, &two]).ok();
    dhow.cmd("pull -q --platform linux/arm64").arg(&list).ok();
    assert_eq!(dhow.cmd("inspect --format {{.Architecture}}").arg(&list).ok().out(), "arm64");
    let remote = dhow.cmd("manifest inspect").arg(&list).ok().json();
    assert_eq!(remote, there);
}

#[test]
fn lists_of_lists_and_of_other_registries_are_refused() {
    let (Some(dhow), Some(registry), Some(other)) =
        (Dhow::new(Mode::Single), Registry::plain(), Registry::plain())
    else {
        return;
    };
    fleet(&dhow, &registry);
    let list = registry.name("list:1");
    dhow.cmd("manifest create").args([&list, &registry.name("fleet/one:1")]).ok();
    dhow.cmd("manifest push").arg(&list).ok();
    dhow.cmd("manifest create").args([&registry.name("outer"), &list]).fails(1, &["is a manifest list"]);
    let foreign = other.name("foreign:1");
    dhow.cmd("manifest create").args([&foreign, &registry.name("fleet/one:1")]).ok();
    dhow.cmd("manifest push").arg(&foreign).fails(1, &["cannot use source images from a different registry"]);
    dhow.cmd("manifest create").args([&registry.name("x"), &registry.name("absent")]).fails(1, &["absent"]);
    dhow.cmd("manifest rm").arg(&foreign).ok();
}

#[test]
fn image_tools_copy_between_registries() {
    let (Some(dhow), Some(registry), Some(other)) =
        (Dhow::new(Mode::Single), Registry::plain(), Registry::plain())
    else {
        return;
    };
    fleet(&dhow, &registry);
    let target = other.name("all:1");
    let sources = [registry.name("fleet/one:1"), registry.name("fleet/two:1")];
    let preview = dhow.cmd("buildx imagetools create --dry-run").args(&sources).ok().json();
    dhow.cmd("buildx imagetools create --progress quiet -t").arg(&target).args(&sources).ok();
    assert_eq!(manifest(&target), preview);
    assert_eq!(preview["manifests"].as_array().unwrap().len(), 2);
    // All of it is there: skopeo reads every blob.
    let copy = dhow.make_dir("copy");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false"]);
    must_run(skopeo.arg(format!("docker://{target}")).arg(format!("oci:{}:latest", copy.display())));
    let shown = dhow.cmd("buildx imagetools inspect").arg(&target).ok().out();
    assert!(shown.starts_with(&format!("Name:      {target}\nMediaType: ")), "{shown}");
    assert!(shown.contains("  Platform:    linux/arm64"), "{shown}");
    assert_eq!(dhow.cmd("buildx imagetools inspect --raw").arg(&target).ok().stdout, raw(&target));
    let digest = dhow.cmd("buildx imagetools inspect --format {{.Manifest.digest}}").arg(&target).ok().out();
    assert_eq!(digest, crate::support::image::digest(&raw(&target)));
    // One platform of it, with an annotation.
    dhow.cmd("buildx imagetools create --progress quiet --platform linux/arm64 --annotation index:a=b -t")
        .args([&other.name("arm:1"), &target])
        .ok();
    let arm = manifest(&other.name("arm:1"));
    assert_eq!((arm["manifests"].as_array().unwrap().len(), &arm["annotations"]), (1, &json!({"a": "b"})));
    dhow.cmd("buildx imagetools create").arg(&target).fails(1, &["no tags specified"]);
}
