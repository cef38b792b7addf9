//! Tests of addresses.

use super::*;
use crate::scratch::store;
use crate::{LockedContainer, new_container_id};
use dhow_error::kind_of;
use dhow_model::ipam::consolidate;
use dhow_model::new_network::NewNetwork;

fn network(store: &Store, name: &str, subnets: &[&str]) -> NetworkSpec {
    let subnets: Vec<String> = subnets.iter().map(|text| (*text).to_owned()).collect();
    let pools = consolidate(&subnets, &[], &[], &[]).unwrap();
    let v6 = pools.len() > 1;
    store.create_network(&NewNetwork { name: name.into(), pools, v6, ..NewNetwork::default() }).unwrap()
}

fn container(store: &Store, networks: &[NetworkAttachment]) -> LockedContainer {
    let id = new_container_id().unwrap();
    let spec = ContainerSpec {
        name: format!("c{}", &id[..12]),
        networks: networks.to_vec(),
        id,
        ..ContainerSpec::default()
    };
    store.create_container(&spec).unwrap()
}

fn on(network: &NetworkSpec) -> NetworkAttachment {
    NetworkAttachment {
        network: network.id.clone(),
        name: network.name.clone(),
        ..NetworkAttachment::default()
    }
}

fn join(
    store: &Store,
    container: &LockedContainer,
    previous: &[NetworkEndpoint],
) -> anyhow::Result<Vec<NetworkEndpoint>> {
    let joined = store.join_networks(container.spec(), previous)?;
    Ok(joined.into_iter().map(|(_, endpoint)| endpoint).collect())
}

fn v4(endpoints: &[NetworkEndpoint]) -> String {
    endpoints[0].v4.unwrap().addr().to_string()
}

#[test]
fn addresses_come_in_order_and_are_kept_over_a_restart() {
    let (_dir, store) = store();
    let net = network(&store, "back", &["198.51.100.0/24", "2001:db8::/64"]);
    let [a, b, c] = [0; 3].map(|_| container(&store, &[on(&net)]));
    let first = join(&store, &a, &[]).unwrap();
    assert_eq!(first[0].v4.unwrap().to_string(), "198.51.100.2/24");
    assert_eq!(first[0].v6.unwrap().to_string(), "2001:db8::2/64");
    assert_eq!(first[0].mac.to_string(), "02:42:c6:33:64:02");
    assert_eq!((first[0].interface.as_str(), first[0].default_route), ("eth0", true));
    let second = join(&store, &b, &[]).unwrap();
    assert_eq!(v4(&second), "198.51.100.3");
    store.leave_networks(a.spec(), &first).unwrap();
    store.leave_networks(b.spec(), &second).unwrap();
    assert_eq!(v4(&join(&store, &b, &second).unwrap()), "198.51.100.3", "as before");
    assert_eq!(v4(&join(&store, &c, &[]).unwrap()), "198.51.100.2", "the first that is free");
    assert_eq!(v4(&join(&store, &a, &first).unwrap()), "198.51.100.4", "its own was taken");
}

#[test]
fn many_at_once_never_have_the_same() {
    let (_dir, store) = store();
    let net = network(&store, "back", &["198.51.100.0/24", "2001:db8::/64"]);
    let containers: Vec<_> = (0..64).map(|_| container(&store, &[on(&net)])).collect();
    let mut got: Vec<(String, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = containers
            .iter()
            .map(|one| {
                let store = &store;
                scope.spawn(move || {
                    let mut joined = join(store, one, &[]).unwrap();
                    for _ in 0..5 {
                        store.leave_networks(one.spec(), &joined).unwrap();
                        joined = join(store, one, &joined).unwrap();
                    }
                    (joined[0].v4.unwrap().to_string(), joined[0].v6.unwrap().to_string())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    got.sort();
    assert!(got.windows(2).all(|pair| pair[0].0 != pair[1].0), "{got:?}");
    got.sort_by(|a, b| a.1.cmp(&b.1));
    assert!(got.windows(2).all(|pair| pair[0].1 != pair[1].1), "{got:?}");
}

#[test]
fn what_the_dead_have_is_taken_back_when_it_is_needed() {
    let (_dir, store) = store();
    let net = network(&store, "tiny", &["198.51.100.0/29"]);
    let mut running: Vec<_> = (0..5).map(|_| container(&store, &[on(&net)])).collect();
    for one in &running {
        join(&store, one, &[]).unwrap();
    }
    let more = container(&store, &[on(&net)]);
    let error = join(&store, &more, &[]).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Full);
    assert!(error.to_string().contains("no available IPv4 addresses"), "{error}");
    // Its supervisor was killed.
    drop(running.remove(1));
    assert_eq!(v4(&join(&store, &more, &[]).unwrap()), "198.51.100.3");
    // Another one was removed by a process that died halfway.
    let gone = running.remove(2);
    store.remove_container(gone).unwrap();
    let late: Vec<_> = (0..2).map(|_| container(&store, &[on(&net)])).collect();
    let results: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = late.iter().map(|one| scope.spawn(|| join(&store, one, &[]).is_ok())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|done| **done).count(), 1, "{results:?}");
}

#[test]
fn fixed_addresses_are_reserved_until_removal() {
    let (_dir, store) = store();
    let net = network(&store, "back", &["198.51.100.0/24"]);
    let fixed = |text: &str| NetworkAttachment { ip: Some(text.parse().unwrap()), ..on(&net) };
    let first = container(&store, &[fixed("198.51.100.2")]);
    store.reserve_addresses(first.spec()).unwrap();
    let other = container(&store, &[on(&net)]);
    assert_eq!(v4(&join(&store, &other, &[]).unwrap()), "198.51.100.3", "not that of another");
    let joined = join(&store, &first, &[]).unwrap();
    assert_eq!(v4(&joined), "198.51.100.2");
    let second = container(&store, &[fixed("198.51.100.2")]);
    let error = join(&store, &second, &[]).unwrap_err();
    assert!(error.to_string().starts_with("Address already in use"), "{error}");
    store.leave_networks(first.spec(), &joined).unwrap();
    assert!(join(&store, &second, &[]).is_err(), "the other holds it still");
    drop(first);
    assert_eq!(v4(&join(&store, &second, &[]).unwrap()), "198.51.100.2", "it does not run any more");
    store.release_addresses(second.spec(), &[]).unwrap();
    let last = container(&store, &[on(&net)]);
    assert_eq!(v4(&join(&store, &last, &[]).unwrap()), "198.51.100.2");
    for bad in ["198.51.100.1", "198.51.100.0", "198.51.100.255", "192.0.2.1"] {
        let error = join(&store, &container(&store, &[fixed(bad)]), &[]).unwrap_err();
        assert!(error.to_string().contains("no configured subnet"), "{error}");
    }
}

#[test]
fn a_network_that_is_in_use_stays() {
    let (_dir, store) = store();
    let net = network(&store, "back", &[]);
    let one = container(&store, &[on(&net)]);
    join(&store, &one, &[]).unwrap();
    let error = store.remove_network(&net).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::InUse);
    assert!(error.to_string().contains("has active endpoints"), "{error}");
    drop(one);
    store.remove_network(&net).unwrap();
    let late = container(&store, &[on(&net)]);
    assert_eq!(join(&store, &late, &[]).unwrap_err().to_string(), "network back not found");
}

#[test]
fn removal_and_start_at_once_end_as_if_one_came_first() {
    for _ in 0..30 {
        let (_dir, store) = store();
        let net = network(&store, "back", &["198.51.100.0/24"]);
        let one = container(&store, &[on(&net)]);
        let (joined, removed) = std::thread::scope(|scope| {
            let join = scope.spawn(|| join(&store, &one, &[]).is_ok());
            let remove = scope.spawn(|| store.remove_network(&net).is_ok());
            (join.join().unwrap(), remove.join().unwrap())
        });
        assert!(joined != removed, "{joined} {removed}");
    }
}

#[test]
fn the_default_route_goes_by_priority_then_name_and_never_inside() {
    let (_dir, store) = store();
    let [a, b] = ["aa", "bb"].map(|name| network(&store, name, &[]));
    let inside = NewNetwork { name: "a0".into(), internal: true, ..NewNetwork::default() };
    let inside = store.create_network(&inside).unwrap();
    let routes = |attachments: &[NetworkAttachment]| {
        let joined = join(&store, &container(&store, attachments), &[]).unwrap();
        joined.iter().map(|one| (one.interface.clone(), one.default_route)).collect::<Vec<_>>()
    };
    let eth = |n: usize, route| (format!("eth{n}"), route);
    assert_eq!(routes(&[on(&b), on(&inside), on(&a)]), [eth(0, false), eth(1, false), eth(2, true)]);
    let preferred = NetworkAttachment { gateway_priority: 1, ..on(&b) };
    assert_eq!(routes(&[preferred, on(&a)]), [eth(0, true), eth(1, false)]);
    assert_eq!(routes(&[on(&inside)]), [eth(0, false)]);
}
