//! Tests of listing and filters.

use super::*;
use dhow_model::container::ContainerSpec;
use dhow_model::filter::ListFilter;

fn store_with(names: &[&str]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    for (index, name) in names.iter().enumerate() {
        let spec = ContainerSpec {
            id: dhow_store::new_container_id().unwrap(),
            name: (*name).into(),
            created: format!("2026-01-0{}T00:00:00Z", index + 1),
            labels: [("n".to_owned(), (*name).to_owned())].into(),
            ..ContainerSpec::default()
        };
        let container = store.create_container(&spec).unwrap();
        let exit_code = i32::try_from(index).unwrap();
        let (started, finished) = ("x".to_owned(), "y".to_owned());
        container
            .write_state(&ContainerState { started, finished, exit_code, ..Default::default() })
            .unwrap();
    }
    (dir, store)
}

fn names(store: &Store, last: Option<usize>, filters: &[(&str, &str)]) -> Vec<String> {
    let filters = filters.iter().map(|(k, v)| ListFilter { key: (*k).into(), value: (*v).into() }).collect();
    let query = ContainerQuery { all: true, last, filters };
    list(store, &query, nobody).unwrap().iter().map(|c| c.spec().name.clone()).collect()
}

fn nobody() -> HostIdentity {
    HostIdentity::probe(None, "")
}

#[test]
fn filters_choose() {
    let (_dir, store) = store_with(&["one", "two", "three"]);
    assert_eq!(names(&store, None, &[]), ["three", "two", "one"]);
    assert_eq!(names(&store, Some(1), &[]), ["three"]);
    assert_eq!(names(&store, None, &[("name", "t")]), ["three", "two"]);
    assert_eq!(names(&store, None, &[("name", "^/two$")]), ["two"]);
    assert_eq!(names(&store, None, &[("name", "one"), ("name", "two")]), ["two", "one"]);
    assert_eq!(names(&store, None, &[("label", "n=one")]), ["one"]);
    assert_eq!(names(&store, None, &[("label", "n"), ("exited", "2")]), ["three"]);
    assert_eq!(names(&store, None, &[("since", "one"), ("before", "three")]), ["two"]);
    assert_eq!(names(&store, None, &[("status", "running")]), [""; 0]);
    assert_eq!(names(&store, None, &[("ancestor", "nothing")]), [""; 0]);
}

#[test]
fn those_that_ended_are_not_listed_by_default() {
    let (_dir, store) = store_with(&["one"]);
    assert!(list(&store, &ContainerQuery::default(), nobody).unwrap().is_empty());
}

#[test]
fn those_that_should_be_gone_are_removed() {
    let (_dir, store) = store_with(&["one"]);
    let spec = ContainerSpec {
        id: dhow_store::new_container_id().unwrap(),
        name: "left".into(),
        auto_remove: true,
        ..ContainerSpec::default()
    };
    let running = store.create_container(&spec).unwrap();
    assert_eq!(names(&store, None, &[]), ["one", "left"]);
    drop(running);
    assert_eq!(names(&store, None, &[]), ["one"]);
    assert!(store.container(&spec.id).unwrap().is_none());
}

#[test]
fn unknown_filters_are_refused() {
    let (_dir, store) = store_with(&[]);
    for (key, value) in [("foo", "x"), ("status", "happy"), ("exited", "many"), ("before", "nobody")] {
        let filters = vec![ListFilter { key: key.into(), value: value.into() }];
        assert!(
            list(&store, &ContainerQuery { filters, ..ContainerQuery::default() }, nobody).is_err(),
            "{key}"
        );
    }
}
