//! Several networks: who reaches whom, under which address, and what connecting and disconnecting changes.

use super::*;
use crate::support::world::*;

/// Asserts that the container cannot reach `target`, whatever the error.
fn unreachable(dhow: &Dhow, options: &str, target: &str) {
    let answer = probe_on(dhow, options, &format!("connect {target} 1500"));
    assert_ne!(answer.get("result"), "ok", "{target} {options}: {answer:?}");
}

each_mode_in_world! {
    fn networks_do_not_reach_each_other(dhow, _world) {
        dhow.cmd("network create one").ok();
        dhow.cmd("network create --ipv6 --subnet 10.203.0.0/24 --subnet 2001:db8:79::/64 two").ok();
        serve(dhow, "ann", "--network one");
        serve(dhow, "bob", "--network two");
        serve(dhow, "cat", "");
        let (a, b, c) = (address(dhow, "ann", "one"), address(dhow, "bob", "two"), address(dhow, "cat", "bridge"));
        let b6 = inspect(dhow, "bob", ".NetworkSettings.Networks.two.GlobalIPv6Address");
        unreachable(dhow, "--network one", &format!("{b}:7000"));
        unreachable(dhow, "--network one", &format!("[{b6}]:7000"));
        unreachable(dhow, "--network one", &format!("{c}:7000"));
        unreachable(dhow, "--network two", &format!("{a}:7000"));
        unreachable(dhow, "", &format!("{a}:7000"));
        unreachable(dhow, "", &format!("{b}:7000"));
        assert_ne!(probe_on(dhow, "--network one", &format!("udp {b}:7000 hello 700")).get("result"), "ok");
        assert_eq!(probe_on(dhow, "--network one", "dns bob A").get("code"), "3");
        assert_eq!(probe_on(dhow, "--network one", "ask ann:7000 whoami").get("result"), "ok");
        assert_eq!(probe(dhow, &format!("ask {c}:7000 whoami")).get("result"), "ok");
        // One that is on both reaches both, and is no bridge between them.
        dhow.cmd("run -d --name both --network one --network two --cap-add NET_ADMIN net sleep 1000").ok();
        assert_eq!(inside(dhow, "both", "ask ann:7000 whoami -- net ask bob:7000 whoami").all("result"), ["ok", "ok"]);
        let links = dhow.cmd("exec both ls /sys/class/net").ok().out();
        assert_eq!(links.split_whitespace().collect::<Vec<_>>(), ["eth0", "eth1", "lo"]);
        unreachable(dhow, "--network one", &format!("{b}:7000"));
        end(dhow, "ann bob cat both");
        dhow.cmd("network rm one two").ok();
    }

    fn the_hosts_loopback_is_not_reached_unless_asked(dhow, world) {
        let listener = world.host.call(|| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let socket = world.host.call(|| std::net::UdpSocket::bind("127.0.0.1:0")).unwrap();
        let loopback = listener.local_addr().unwrap().port();
        let port = loopback;
        let udp = socket.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What is not read would make a reset of the end.
                let mut line = String::new();
                drop(std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line));
                if line == "stop\n" {
                    break;
                }
                drop(std::io::Write::write_all(&mut &stream, b"loopback\n"));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                if buffer.starts_with(b"stop") {
                    break;
                }
                drop(socket.send_to(&buffer[..count], from));
            }
        });
        dhow.cmd("network create --subnet 10.204.0.0/24 crew").ok();
        for (options, gateway) in [("", "172.17.0.1"), ("--network crew", "10.204.0.1")] {
            for target in [gateway, "127.0.0.1", "127.0.0.11", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "localhost"] {
                unreachable(dhow, options, &format!("{target}:{port}"));
                let answer = probe_on(dhow, options, &format!("udp {target}:{udp} hello 300"));
                assert_ne!(answer.get("result"), "ok", "{target}: {answer:?}");
            }
            let asked = format!("{options} --add-host home:host-gateway");
            let answer = probe_on(dhow, &asked, &format!("ask home:{port} hello"));
            assert_eq!(answer.get("answer"), "loopback", "{answer:?}");
            let answer = probe_on(dhow, &asked, &format!("udp home:{udp} hello"));
            assert_eq!(answer.get("answer"), "hello", "{answer:?}");
            // Only the one that asked.
            unreachable(dhow, options, &format!("{gateway}:{port}"));
            // What of the datapath itself listens in the gateway is nobody's to talk to.
            for port in ["53", "7070"] {
                unreachable(dhow, options, &format!("{gateway}:{port}"));
            }
        }
        dhow.cmd("network rm crew").ok();
        // What listens on all addresses of the host is reached by those that it has for others.
        let open = world.host.call(|| std::net::TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = open.local_addr().unwrap().port();
        assert_eq!(probe(dhow, &format!("connect {HOST}:{port}")).get("result"), "ok");
        drop(open);
        world.at_host(&format!("ask 127.0.0.1:{loopback} stop"));
        world.at_host(&format!("udp 127.0.0.1:{udp} stop 100"));
    }

    fn networks_without_a_way_out(dhow, _world) {
        dhow.cmd("network create --internal inner").ok();
        serve(dhow, "ann", "--network inner");
        assert_eq!(probe_on(dhow, "--network inner", "transfer ann:7000 1000000 1000000").get("result"), "ok");
        unreachable(dhow, "--network inner", &format!("{PEER}:{PORT}"));
        unreachable(dhow, "--network inner", &format!("[{PEER6}]:{PORT}"));
        assert_ne!(probe_on(dhow, "--network inner", &format!("udp {PEER}:{PORT} hello 500")).get("result"), "ok");
        end(dhow, "ann");
        dhow.cmd("network rm inner").ok();
        dhow.cmd("network create -o com.docker.network.bridge.enable_icc=false apart").ok();
        serve(dhow, "bob", "--network apart");
        unreachable(dhow, "--network apart", "bob:7000");
        assert_eq!(probe_on(dhow, "--network apart", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
        end(dhow, "bob");
        dhow.cmd("network rm apart").ok();
    }

    fn addresses_are_those_that_were_asked_for(dhow, _world) {
        dhow.cmd("network create --ipv6 --subnet 10.205.0.0/24 --gateway 10.205.0.254 --ip-range 10.205.0.64/28 --subnet 2001:db8:80::/64 crew").ok();
        serve(dhow, "fixed", "--network crew --ip 10.205.0.7 --ip6 2001:db8:80::7 --mac-address 02:11:22:33:44:55 --hostname fix");
        assert_eq!(address(dhow, "fixed", "crew"), "10.205.0.7");
        let shown = dhow.cmd("exec fixed ip addr show eth0").ok().out();
        for part in ["02:11:22:33:44:55", "10.205.0.7/24", "2001:db8:80::7/64", "mtu 65520"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let routes = dhow.cmd("exec fixed ip route").ok().out();
        assert!(routes.contains("default via 10.205.0.254 dev eth0"), "{routes}");
        let hosts = dhow.cmd("exec fixed cat /etc/hosts").ok().out();
        assert!(hosts.lines().any(|line| line.split_whitespace().collect::<Vec<_>>() == ["10.205.0.7", "fix"]), "{hosts}");
        assert!(hosts.contains("127.0.0.1\tlocalhost"), "{hosts}");
        // Others come from the range, and nobody gets what is taken.
        serve(dhow, "free", "--network crew");
        let last: u8 = address(dhow, "free", "crew").rsplit('.').next().unwrap().parse().unwrap();
        assert!((64..80).contains(&last), "{last}");
        dhow.cmd("run --rm --network crew --ip 10.205.0.7 net true").fails(125, &["10.205.0.7"]);
        dhow.cmd("run --rm --network crew --ip 10.206.0.7 net true").fails(125, &["10.206.0.7"]);
        dhow.cmd("run --rm --ip 172.17.0.9 net true").fails(125, &["user"]);
        // Nor may anybody take another's place on the bridge.
        dhow.cmd("run --rm --network crew --mac-address 02:11:22:33:44:55 net true").fails(125, &["02:11:22:33:44:55"]);
        dhow.cmd("run --rm --network crew --mac-address 03:11:22:33:44:55 net true").fails(125, &["03:11:22:33:44:55"]);
        let answer = probe_on(dhow, "--network crew", "ask fixed:7000 here");
        assert!(["10.205.0.7 7000", "2001:db8:80::7 7000"].contains(&answer.get("answer")), "{answer:?}");
        let long = "--network name=crew,ip=10.205.0.9,alias=nine,mac-address=02:00:00:00:00:09,driver-opt=com.docker.network.endpoint.ifname=nine0";
        let output = dhow.cmd("run --rm").words(long).words("net ip addr show nine0").ok();
        assert!(output.out().contains("10.205.0.9/24") && output.out().contains("02:00:00:00:00:09"), "{}", output.out());
        for network in ["crew", "bridge"] {
            let line = "--sysctl net.ipv6.conf.all.disable_ipv6=1 net ip addr show eth0";
            let shown = dhow.cmd("run --rm --network").arg(network).words(line).ok().out();
            assert!(shown.contains("inet ") && !shown.contains("inet6"), "{shown}");
        }
        end(dhow, "fixed free");
        dhow.cmd("network rm crew").ok();
        dhow.cmd("network create --subnet 10.207.0.0/30 tiny").ok();
        serve(dhow, "only", "--network tiny");
        dhow.cmd("run --rm --network tiny net true").fails(125, &["tiny"]);
        end(dhow, "only");
        dhow.cmd("network rm tiny").ok();
    }

    fn joining_and_leaving_under_way(dhow, world) {
        dhow.cmd("network create stay").ok();
        dhow.cmd("network create come").ok();
        serve(dhow, "server", "--network come");
        serve(dhow, "mate", "--network stay");
        dhow.cmd("run -d --name busy --network stay net sleep 1000").ok();
        let traffic = dhow.cmd("exec busy /probe net transfer").arg(format!("{PEER}:{PORT}")).words("60000000 60000000 2").start();
        let neighbour = dhow.cmd("exec busy /probe net transfer mate:7000 60000000 60000000 2").start();
        // What is connected while another network leads out ends with that network's place.
        until("it is under way", || world.connections(PORT) >= 2 || traffic.has_ended());
        for round in 0..4 {
            dhow.cmd("network connect --alias caller come busy").ok();
            assert_eq!(inside(dhow, "busy", "ask server:7000 whoami").get("result"), "ok", "round {round}");
            assert_eq!(inside(dhow, "server", "dns caller A").get("code"), "0");
            let hosts = dhow.cmd("exec busy cat /etc/hosts").ok().out();
            assert!(hosts.contains(&address(dhow, "busy", "come")), "{hosts}");
            dhow.cmd("network disconnect come busy").ok();
            assert_eq!(inside(dhow, "busy", "dns server A").get("code"), "3");
            assert_eq!(dhow.cmd("exec busy ls /sys/class/net").ok().lines(), ["eth0", "lo"]);
        }
        for traffic in [traffic, neighbour] {
            let answer = Facts::parse(&traffic.wait().out());
            assert_eq!(answer.get("result"), "ok", "{answer:?}");
        }
        dhow.cmd("network connect stay busy").fails(1, &["busy", "stay"]);
        // Leaving the last one leaves nothing but the loopback, and coming back brings all of it.
        dhow.cmd("network disconnect stay busy").ok();
        assert_ne!(inside(dhow, "busy", &format!("connect {PEER}:{PORT} 1000")).get("result"), "ok");
        dhow.cmd("network connect stay busy").ok();
        assert_eq!(inside(dhow, "busy", &format!("ask {PEER}:{PORT} whoami -- net ask mate:7000 whoami")).all("result"), ["ok", "ok"]);
        end(dhow, "busy mate server");
        dhow.cmd("network rm stay come").ok();
    }

    fn the_default_route_goes_by_priority_and_name(dhow, world) {
        dhow.cmd("network create --subnet 10.211.0.0/24 alpha").ok();
        dhow.cmd("network create --subnet 10.212.0.0/24 beta").ok();
        dhow.cmd("network create --subnet 10.213.0.0/24 --internal aaa").ok();
        serve(dhow, "mid", "--network beta -p 8080:7000");
        let goes_by = |gateway: &str| {
            let routes = dhow.cmd("exec mid ip route").ok().lines();
            let default: Vec<_> = routes.iter().filter(|line| line.starts_with("default ")).collect();
            assert!(default.len() == 1 && default[0].contains(&format!("via {gateway} ")), "{gateway}: {routes:?}");
            assert_eq!(inside(dhow, "mid", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
            assert_eq!(world.at_peer(&format!("ask {HOST}:8080 whoami")).get("result"), "ok");
        };
        goes_by("10.212.0.1");
        dhow.cmd("network connect alpha mid").ok();
        goes_by("10.211.0.1");
        dhow.cmd("network disconnect alpha mid").ok();
        goes_by("10.212.0.1");
        dhow.cmd("network connect --gw-priority -1 alpha mid").ok();
        goes_by("10.212.0.1");
        dhow.cmd("network connect aaa mid").ok();
        goes_by("10.212.0.1");
        dhow.cmd("network disconnect beta mid").ok();
        goes_by("10.211.0.1");
        end(dhow, "mid");
        let long = "--network alpha --network name=beta,gw-priority=5";
        let routes = dhow.cmd("run --rm").words(long).words("net ip route").ok().out();
        assert!(routes.contains("default via 10.212.0.1 "), "{routes}");
        dhow.cmd("network rm alpha beta aaa").ok();
    }

    fn between_two_runs_networks_are_joined_and_left_too(dhow, _world) {
        dhow.cmd("network create one").ok();
        dhow.cmd("network create two").ok();
        dhow.cmd("run -d --name again --restart always --network one net sh -c").arg("echo $(ls /sys/class/net); exit 1").ok();
        let restarts = || inspect(dhow, "again", ".RestartCount").parse::<u32>().unwrap();
        let last = || dhow.cmd("logs --tail 1 again").output().out();
        let after_next = |order: &str, links: &str| {
            // The pauses grow, so one that has just begun is long enough.
            let before = restarts();
            until("it rests", || restarts() > before && inspect(dhow, "again", ".State.Status") == "restarting");
            dhow.cmd(order).ok();
            let shown = inspect(dhow, "again", ".NetworkSettings.Networks.two");
            assert_eq!(shown != "<no value>", links.contains("eth1"), "{shown}");
            until("it ran again", || last() == links);
        };
        until("it rests for long", || restarts() > 3);
        after_next("network connect --alias x two again", "eth0 eth1 lo");
        after_next("network disconnect two again", "eth0 lo");
        end(dhow, "again");
        dhow.cmd("network rm one two").ok();
    }

    fn a_connection_ends_when_its_network_is_left(dhow, world) {
        dhow.cmd("network create crew").ok();
        dhow.cmd("run -d --name one --network crew net sleep 1000").ok();
        let held = dhow.cmd("exec one /probe net ask").arg(format!("{PEER}:{PORT}")).arg("hold").start();
        until("the connection is made", || world.connections(PORT) > 0);
        dhow.cmd("network disconnect crew one").ok();
        until("the connection is gone", || world.connections(PORT) == 0);
        end(dhow, "one");
        held.wait();
        dhow.cmd("network rm crew").ok();
    }

    fn modes_of_the_network(dhow, world) {
        serve(dhow, "ann", "-p 8080:7000");
        let answer = probe_on(dhow, "--network container:ann", "ask 127.0.0.1:7000 whoami");
        assert_eq!(answer.get("answer").split(' ').next(), Some("127.0.0.1"));
        assert_eq!(probe_on(dhow, "--network container:ann", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
        let own = dhow.cmd("exec ann readlink /proc/self/ns/net").ok().out();
        let shared = dhow.cmd("run --rm --network container:ann net readlink /proc/self/ns/net").ok().out();
        assert_eq!(own, shared);
        let none = dhow.cmd("run --rm --network none net ls /sys/class/net").ok();
        assert_eq!(none.lines(), ["lo"]);
        unreachable(dhow, "--network none", &format!("{PEER}:{PORT}"));
        let host = world.host.call(|| std::fs::read_link("/proc/thread-self/ns/net")).unwrap();
        let shared = dhow.cmd("run --rm --network host net readlink /proc/self/ns/net").ok().out();
        assert_eq!(shared, host.display().to_string());
        dhow.cmd("run --rm --network nowhere net true").fails(125, &["network nowhere not found"]);
        end(dhow, "ann");
    }

    fn the_first_container_is_joined_while_it_talks(dhow, world) {
        dhow.cmd("network create --ipv6 crew").ok();
        dhow.cmd("network create elsewhere").ok();
        dhow.cmd("run -d --name anchor --network elsewhere net sleep 1000").ok();
        for round in 0..2 {
            // A network at work whose last container has gone, and comes again, is alone again, too.
            let alone = format!("ask {PEER}:{PORT} whoami -- net ask [{PEER6}]:{PORT} whoami");
            assert_eq!(probe_on(dhow, "--network crew", &alone).all("result"), ["ok", "ok"], "round {round}");
            serve(dhow, "first", "--network crew -p 8080:7000");
            let transfer = |target: &str| {
                dhow.cmd("exec first /probe net transfer").arg(target).words("60000000 60000000 2").start()
            };
            let traffic = [transfer(&format!("{PEER}:{PORT}")), transfer(&format!("[{PEER6}]:{PORT}"))];
            until("it is under way", || world.connections(PORT) >= 4 || traffic.iter().any(Running::has_ended));
            for _ in 0..3 {
                let line = format!("transfer first:7000 1000000 1000000 -- net udp-hash first:7000 9000 -- net {alone}");
                let answer = probe_on(dhow, "--network crew", &line);
                assert_eq!(answer.all("result"), ["ok"; 4], "round {round}: {answer:?}");
                assert_eq!(world.at_peer(&format!("transfer {HOST}:8080 1000000 1000000")).get("result"), "ok");
            }
            for traffic in traffic {
                let answer = Facts::parse(&traffic.wait().out());
                assert_eq!(answer.get("result"), "ok", "round {round}: {answer:?}");
            }
            assert_eq!(inside(dhow, "first", &alone).all("result"), ["ok", "ok"], "round {round}");
            end(dhow, "first");
        }
        end(dhow, "anchor");
        dhow.cmd("network rm crew elsewhere").ok();
    }

    fn a_hostile_neighbour_stays_who_it_is(dhow, world) {
        // Nor does it help to be alone, when nobody else can be meant.
        for address in ["10.209.0.99/24", "10.209.0.1/24", "192.0.2.1/24"] {
            let script = format!("ip addr flush dev eth0; ip addr add {address} dev eth0; ip route add default via 10.209.0.1 onlink dev eth0 2>/dev/null; \
                /probe net connect {PEER}:{PORT} 1200 -- net udp {PEER}:{PORT} hello 500");
            dhow.cmd("network create --subnet 10.209.0.0/24 lone").ok();
            let output = dhow.cmd("run --rm --network lone --cap-add NET_ADMIN net").sh(&script).ok();
            let answer = Facts::parse(&output.out());
            assert!(answer.all("result").iter().all(|result| result != "ok"), "{address}: {answer:?}");
            dhow.cmd("network rm lone").ok();
        }
        dhow.cmd("network create --subnet 10.208.0.0/24 crew").ok();
        serve(dhow, "victim", "--network crew --ip 10.208.0.7");
        // It calls itself what the other is called, and what nobody is called.
        for address in ["10.208.0.7/24", "10.208.0.99/24", "192.0.2.1/24"] {
            let script = format!("ip addr flush dev eth0; ip addr add {address} dev eth0; ip route add default via 10.208.0.1 2>/dev/null; \
                /probe net connect {PEER}:{PORT} 1200 -- net udp {PEER}:{PORT} hello 500 -- net connect 10.208.0.7:7000 1200");
            let output = dhow.cmd("run --rm --network crew --cap-add NET_ADMIN net").sh(&script).ok();
            let answer = Facts::parse(&output.out());
            let results = &answer.all("result")[..2];
            assert!(results.iter().all(|result| result != "ok"), "{address}: {answer:?}");
        }
        let script = "ip link set eth0 address 02:42:0a:d0:00:07 2>/dev/null; ip addr flush dev eth0; ip addr add 10.208.0.7/24 dev eth0; busybox arping -U -c 3 -I eth0 10.208.0.7";
        dhow.cmd("run --rm --network crew --cap-add NET_ADMIN net").sh(script).output();
        let answer = probe_on(dhow, "--network crew", "transfer 10.208.0.7:7000 1000000 1000000");
        assert_eq!(answer.get("result"), "ok", "{answer:?}");
        assert_eq!(inside(dhow, "victim", &format!("ask {PEER}:{PORT} whoami")).get("result"), "ok");
        assert!(world.listening().is_empty());
        end(dhow, "victim");
        dhow.cmd("network rm crew").ok();
    }

    fn subnets_keep_clear_of_the_hosts_routes(dhow, world) {
        world.host.ip("route add 172.17.0.0/16 dev eth0\nroute add 172.18.5.0/24 dev eth0\naddr add 172.21.0.9/32 dev lo\n");
        let subnet = |name: &str| dhow.cmd("network inspect -f").arg("{{(index .IPAM.Config 0).Subnet}}").arg(name).ok().out();
        dhow.cmd("network create one").ok();
        dhow.cmd("network create two").ok();
        let chosen = [subnet("one"), subnet("two"), subnet("bridge")];
        assert_eq!(chosen, ["172.19.0.0/16", "172.20.0.0/16", "172.22.0.0/16"]);
        dhow.cmd("network rm one two").ok();
    }

    fn a_network_that_is_used_stays(dhow, _world) {
        dhow.cmd("network create --subnet 10.209.0.0/24 --label kind=test crew").ok();
        dhow.cmd("network create --subnet 10.209.0.0/25 other").fails(1, &["overlap"]);
        dhow.cmd("network create crew").fails(1, &["crew", "already exists"]);
        dhow.cmd("network create -d overlay far").fails(1, &["overlay"]);
        serve(dhow, "ann", "--network crew");
        dhow.cmd("network rm crew").fails(1, &["crew", "(name:\"ann\" id:"]);
        dhow.cmd("network prune -f").ok();
        let listed = dhow.cmd("network ls --format").arg("{{.Name}} {{.Driver}}").ok().lines();
        for line in ["bridge bridge", "crew bridge", "host host", "none null"] {
            assert!(listed.contains(&line.to_owned()), "{line}: {listed:?}");
        }
        let inspected = dhow.cmd("network inspect crew").ok().json();
        assert_eq!(inspected[0]["IPAM"]["Config"][0]["Subnet"], "10.209.0.0/24");
        let members = inspected[0]["Containers"].as_object().unwrap();
        assert_eq!(members.values().next().unwrap()["Name"], "ann");
        end(dhow, "ann");
        assert!(dhow.cmd("network prune -f").ok().out().contains("crew"));
        dhow.cmd("network rm crew").fails(1, &["crew", "not found"]);
        dhow.cmd("network rm bridge").fails(1, &["bridge"]);
    }
}
