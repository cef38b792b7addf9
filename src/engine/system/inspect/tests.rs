//! What `inspect` finds and in which order its fields come.

use super::*;
use dhow_model::container::{ContainerImage, ContainerSpec};
use dhow_model::digest::Digest;
use dhow_model::mount::{MountSource, MountSpec};
use dhow_store::{NewImage, VolumeRecord, new_container_id};

fn store() -> (tempfile::TempDir, Store, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let config = br#"{"created":"2024-01-02T03:04:05Z","architecture":"amd64","os":"linux","config":{"User":"worker","Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let names = [("thing:1".parse().unwrap(), Some(Digest::of(b"manifest")))];
    let id = store.put_image(&NewImage { config, manifest: None, layers: &[], names: &names }).unwrap();
    (dir, store, id)
}

fn look(store: &Store, text: &str, question: &InspectRequest) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::to_value(inspect(store, text, question)?).unwrap())
}

#[test]
fn images_have_dockers_fields_in_order() {
    let (_dir, store, id) = store();
    let seen = look(&store, "thing:1", &InspectRequest::default()).unwrap();
    assert_eq!(seen["Id"], id.as_str());
    assert_eq!(seen["RepoTags"], serde_json::json!(["thing:1"]));
    assert_eq!(seen["RepoDigests"], serde_json::json!([format!("thing@{}", Digest::of(b"manifest"))]));
    assert_eq!((&seen["Config"]["User"], &seen["Config"]["Cmd"][0]), (&"worker".into(), &"sh".into()));
    assert!(seen["Config"]["Entrypoint"].is_null() && seen["Config"].get("Tty").is_some());
    let text =
        serde_json::to_string(&inspect(&store, id.short(), &InspectRequest::default()).unwrap()).unwrap();
    let positions: Vec<_> = ["Id", "RepoTags", "Created", "Config", "Os", "Size", "RootFS", "Metadata"]
        .map(|name| text.find(&format!("\"{name}\":")).unwrap())
        .into();
    assert!(positions.is_sorted(), "{text}");
}

#[test]
fn an_image_for_another_platform_is_not_the_one() {
    let (_dir, store, _) = store();
    let question = |platform: &str| InspectRequest {
        platforms: vec![platform.parse().unwrap()],
        ..InspectRequest::default()
    };
    let image = |platform: &str| crate::image::lookup::find(&store, "thing:1", &question(platform).platforms);
    assert!(image("linux/amd64").is_ok());
    assert_eq!(kind_of(&image("linux/arm64").unwrap_err()), FailureKind::NotFound);
}

#[test]
fn containers_and_volumes_come_by_their_names() {
    let (_dir, store, id) = store();
    store.create_volume(VolumeRecord { name: "data".into(), ..Default::default() }).unwrap();
    let source = MountSource::Volume {
        name: Some("data".into()),
        anonymous: false,
        no_copy: false,
        subpath: None,
        setup: Default::default(),
    };
    let mut spec = ContainerSpec {
        id: new_container_id().unwrap(),
        name: "web".into(),
        image: Some(ContainerImage { id: id.clone(), name: "thing:1".into() }),
        mounts: vec![MountSpec { target: "/data".into(), source, read_only: true }],
        ..Default::default()
    };
    spec.process.entrypoint = Some(vec!["echo".into()]);
    spec.process.command = Some(vec!["a".into(), "b".into()]);
    drop(store.create_container(&spec).unwrap());
    let seen = look(&store, "web", &InspectRequest { size: true, ..InspectRequest::default() }).unwrap();
    assert_eq!((&seen["Name"], &seen["Path"]), (&"/web".into(), &"echo".into()));
    assert_eq!(seen["Args"], serde_json::json!(["a", "b"]));
    assert_eq!((&seen["Image"], &seen["Config"]["Image"]), (&id.as_str().into(), &"thing:1".into()));
    assert_eq!((&seen["State"]["Status"], &seen["State"]["Running"]), (&"created".into(), &false.into()));
    assert_eq!((&seen["Mounts"][0]["Name"], &seen["Mounts"][0]["RW"]), (&"data".into(), &false.into()));
    assert_eq!((&seen["HostConfig"]["Binds"][0], &seen["SizeRw"]), (&"data:/data:ro".into(), &0.into()));
    let volume = look(&store, "data", &InspectRequest::default()).unwrap();
    assert_eq!((&volume["Name"], &volume["Driver"]), (&"data".into(), &"local".into()));
}

#[test]
fn what_is_missing_is_said_by_its_kind() {
    let (_dir, store, _) = store();
    let error = |kind| {
        let question = InspectRequest { kind, ..InspectRequest::default() };
        inspect(&store, "absent", &question).unwrap_err().to_string()
    };
    assert_eq!(error(None), "No such object: absent");
    assert_eq!(error(Some(ObjectKind::Image)), "No such image: absent:latest");
    assert_eq!(error(Some(ObjectKind::Container)), "No such container: absent");
    assert!(error(Some(ObjectKind::Volume)).contains("no such volume"));
    let odd = inspect(&store, "not/a name", &InspectRequest::default()).unwrap_err();
    assert_eq!(odd.to_string(), "No such object: not/a name");
}
