//! Published ports: connections from the host and from other machines, and the source address that servers see.

use super::*;
use crate::support::world::*;

/// The address that the server of `answer` saw.
fn caller(answer: &Facts) -> &str {
    answer.get("answer").split(' ').next().unwrap()
}

each_mode_in_world! {
    fn the_server_sees_who_calls(dhow, world) {
        serve(dhow, "web", "-p 8080:7000");
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST_TOO}:8080 whoami"))), PEER);
        let v6 = caller(&world.at_peer(&format!("ask [{HOST6}]:8080 whoami"))).to_owned();
        assert_eq!(v6, PEER6);
        // The host itself has no address that the container could answer to; the gateway stands for it.
        let gateway = inspect(dhow, "web", ".NetworkSettings.Networks.bridge.Gateway");
        for target in ["127.0.0.1:8080", "[::1]:8080"] {
            let answer = world.at_host(&format!("ask {target} whoami"));
            assert_eq!(answer.get("result"), "ok", "{target}: {answer:?}");
        }
        assert_eq!(caller(&world.at_host("ask 127.0.0.1:8080 whoami")), gateway);
        assert_eq!(dhow.cmd("port web").ok().lines(), ["7000/tcp -> 0.0.0.0:8080", "7000/tcp -> [::]:8080"]);
        assert_eq!(dhow.cmd("port web 7000").ok().lines(), ["0.0.0.0:8080", "[::]:8080"]);
        let listed = dhow.cmd("ps --format {{.Ports}}").ok().out();
        assert!(listed.contains("0.0.0.0:8080->7000/tcp"), "{listed}");
        end(dhow, "web");
        world.until_silent();
        assert_eq!(world.at_peer(&format!("connect {HOST}:8080")).get("result"), "!111");
    }

    fn ports_that_could_not_be_moved_are_not_listed(dhow, world) {
        let at = |address: &str| format!("network create -o com.docker.network.bridge.host_binding_ipv4={address}");
        dhow.cmd(&at("127.0.0.1")).arg("one").ok();
        dhow.cmd(&at("127.0.0.2")).arg("two").ok();
        let other = world.host.call(|| std::net::TcpListener::bind("127.0.0.2:0")).unwrap();
        let port = other.local_addr().unwrap().port();
        serve(dhow, "web", &format!("--network one -p {port}:7000"));
        assert_eq!(dhow.cmd("port web").ok().out(), format!("7000/tcp -> 127.0.0.1:{port}"));
        dhow.cmd("network connect two web").ok();
        dhow.cmd("network disconnect one web").fails(1, &[&format!("127.0.0.2:{port}/tcp: address already in use")]);
        dhow.cmd("network disconnect two web").ok();
        assert_eq!(dhow.cmd("port web").ok().out(), "");
        assert_ne!(world.at_host(&format!("connect 127.0.0.1:{port}")).get("result"), "ok");
        end(dhow, "web");
        dhow.cmd("network rm one two").ok();
    }

    fn transfers_in_arrive_whole(dhow, world) {
        serve(dhow, "web", "-p 8080:7000 --ulimit nofile=8192:8192");
        for target in [format!("{HOST}:8080"), format!("[{HOST6}]:8080")] {
            for sizes in ["1 1 1", "0 5000000 1", "5000000 0 1", "9000000 12000000 3"] {
                let answer = world.at_peer(&format!("transfer {target} {sizes}"));
                assert_eq!(answer.get("result"), "ok", "{target} {sizes}: {answer:?}");
            }
            let answer = world.at_peer(&format!("half {target} 2000000"));
            assert_eq!(answer.get("answer"), answer.get("sent"));
            assert_eq!(world.at_peer(&format!("ask {target} reset")).get("result"), "!104");
            let answer = world.at_peer(&format!("bye {target} 2000000"));
            let wanted = format!("after-bye={}", answer.get("sent"));
            until("the server heard all", || dhow.cmd("logs web").ok().out().contains(&wanted));
        }
        let answer = world.at_peer(&format!("many {HOST}:8080 1000"));
        assert_eq!((answer.get("result"), answer.get("answered")), ("ok", "1000"), "{answer:?}");
        end(dhow, "web");
    }

    fn datagrams_in_are_answered(dhow, world) {
        serve(dhow, "echo", "-p 8080:7000/udp -p 8081:7000/tcp");
        assert_eq!(caller(&world.at_peer(&format!("udp {HOST}:8080 whoami"))), PEER);
        assert_eq!(caller(&world.at_peer(&format!("udp [{HOST6}]:8080 whoami"))), PEER6);
        // The answer must come from the address that was asked.
        assert_eq!(world.at_peer(&format!("udp {HOST_TOO}:8080 hello")).get("answer"), "hello");
        assert_eq!(world.at_host("udp 127.0.0.1:8080 hello").get("answer"), "hello");
        assert_eq!(world.at_peer(&format!("udp-many {HOST}:8080 200")).get("answered"), "200");
        for size in [1000, 9000, 30000] {
            let answer = world.at_peer(&format!("udp-hash {HOST}:8080 {size}"));
            assert_eq!(answer.get("result"), "ok", "{size}: {answer:?}");
        }
        assert_eq!(dhow.cmd("port echo 7000/udp").ok().lines(), ["0.0.0.0:8080", "[::]:8080"]);
        end(dhow, "echo");
    }

    fn ports_are_published_where_it_was_said(dhow, world) {
        let options = format!(
            "-p {HOST_TOO}:8081:7000 -p 127.0.0.1:8082:7000 -p [{HOST6}]:8083:7000 -p 0.0.0.0:8084:7000 -p 8085-8087:7000-7002"
        );
        serve_on(dhow, "web", &options, "7000 7001 7002");
        let reached = |target: &str| world.at_peer(&format!("connect {target}")).get("result").to_owned();
        for (target, result) in [
            (format!("{HOST_TOO}:8081"), "ok"), (format!("{HOST}:8081"), "!111"), (format!("[{HOST6}]:8081"), "!111"),
            (format!("{HOST}:8082"), "!111"), (format!("[{HOST6}]:8083"), "ok"), (format!("{HOST}:8083"), "!111"),
            (format!("{HOST}:8084"), "ok"), (format!("[{HOST6}]:8084"), "!111"), (format!("{HOST}:8085"), "ok"),
            (format!("{HOST}:8087"), "ok"), (format!("{HOST}:8088"), "!111"),
        ] {
            assert_eq!(reached(&target), result, "{target}");
        }
        assert_eq!(world.at_host("ask 127.0.0.1:8082 whoami").get("result"), "ok");
        assert!(world.at_peer(&format!("ask {HOST}:8086 here")).get("answer").ends_with(" 7001"));
        end(dhow, "web");
    }

    fn a_thousand_ports_are_published(dhow, world) {
        serve_on(dhow, "wide", "-p 20000-20999:20000-20999", "20000 20500 20999");
        let all_answer = || {
            for port in [20000, 20500, 20999] {
                let answer = world.at_peer(&format!("ask {HOST}:{port} here"));
                assert!(answer.get("answer").ends_with(&format!(" {port}")), "{port}: {answer:?}");
            }
        };
        all_answer();
        assert_eq!(dhow.cmd("port wide").ok().lines().len(), 2000);
        dhow.cmd("restart -t 0 wide").ok();
        until_serving(dhow, "wide", 2);
        all_answer();
        end(dhow, "wide");
    }

    fn free_ports_are_found(dhow, world) {
        serve_on(dhow, "one", "-p 7000 -p 127.0.0.1::7001/tcp --expose 7005 -P", "7000 7001 7005");
        let port = |inner: &str| {
            let line = dhow.cmd("port one").arg(inner).ok().lines().remove(0);
            line.rsplit(':').next().unwrap().parse::<u16>().unwrap()
        };
        let ports = ["7000", "7001", "7005"].map(port);
        assert!(ports.iter().all(|port| *port > 1023), "{ports:?}");
        assert_eq!(world.at_peer(&format!("ask {HOST}:{} here", ports[2])).get("result"), "ok");
        assert_eq!(world.at_host(&format!("ask 127.0.0.1:{} here", ports[1])).get("result"), "ok");
        // One of a range for each of several containers.
        serve(dhow, "two", "-p 8200-8201:7000");
        serve(dhow, "three", "-p 8200-8201:7000");
        let both = [dhow.cmd("port two 7000").ok().lines().remove(0), dhow.cmd("port three 7000").ok().lines().remove(0)];
        assert!(both.contains(&"0.0.0.0:8200".to_owned()) && both.contains(&"0.0.0.0:8201".to_owned()), "{both:?}");
        dhow.cmd("run --rm -p 8200-8201:7000 net true").fails(125, &["8200"]);
        end(dhow, "one two three");
    }

    fn a_port_that_cannot_be_had_is_named_before_anything_starts(dhow, world) {
        serve(dhow, "first", "-p 8080:7000 -p 8090:7000/udp");
        let output = dhow.cmd("run --name second -p 8080:7000 net true").fails(125, &["8080"]);
        assert!(output.err().contains("first"), "who holds it is said: {}", output.err());
        dhow.cmd("run --rm -p 8090:7000/udp net true").fails(125, &["8090"]);
        let (listener, port) = { // Somebody else's.
            let listener = world.host.call(|| std::net::TcpListener::bind("0.0.0.0:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            (listener, port)
        };
        dhow.cmd("run --rm -p").arg(format!("{port}:7000")).words("net true").fails(125, &[&port.to_string()]);
        drop(listener);
        dhow.cmd("run --rm -p 80:7000 net true").fails(125, &["80", "net.ipv4.ip_unprivileged_port_start"]);
        dhow.cmd("run --rm -p 203.0.113.5:8085:7000 net true").fails(125, &["203.0.113.5"]);
        dhow.cmd("run --rm -p 8085:7000/sctp net true").fails(125, &["SCTP"]);
        // Nothing of a container that could not have all is left.
        dhow.cmd("run --rm -p 8086:7000 -p 8080:7000 net true").fails(125, &["8080"]);
        assert_eq!(world.at_peer(&format!("connect {HOST}:8086")).get("result"), "!111");
        assert!(dhow.cmd("logs second").output().out().is_empty());
        world.host.sysctl("net.ipv4.ip_unprivileged_port_start", "80");
        serve(dhow, "third", "-p 80:7000");
        assert_eq!(world.at_peer(&format!("ask {HOST}:80 whoami")).get("result"), "ok");
        end(dhow, "first third second");
    }

    fn ports_return_with_their_container(dhow, world) {
        serve(dhow, "web", "-p 8080:7000 -p 7001 --restart on-failure");
        let free = dhow.cmd("port web 7001").ok().lines().remove(0);
        let address_of = || address(dhow, "web", "bridge");
        let first = address_of();
        dhow.cmd("restart -t 0 web").ok();
        until_serving(dhow, "web", 2);
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        dhow.cmd("stop -t 0 web").ok();
        world.until_silent();
        assert!(dhow.cmd("port web").output().out().is_empty());
        dhow.cmd("start web").ok();
        until_serving(dhow, "web", 3);
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        assert_eq!(address_of(), first);
        let again = dhow.cmd("port web 7001").ok().lines().remove(0);
        assert!(again.starts_with("0.0.0.0:"), "{again} after {free}");
        // The restart policy brings it back as well.
        let pid = inspect(dhow, "web", ".State.Pid").parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
        until_serving(dhow, "web", 4);
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        end(dhow, "web");
    }

    fn a_port_where_nobody_listens_answers_with_an_end(dhow, world) {
        dhow.cmd("run -d --name idle -p 8080:1 net sleep 1000").ok();
        let answer = soon(1000, || world.at_peer(&format!("ask {HOST}:8080 whoami")));
        assert!(["!104", "!111", "!32"].contains(&answer.get("result")), "{answer:?}");
        end(dhow, "idle");
    }

    fn published_ports_of_networks(dhow, world) {
        dhow.cmd("network create --ipv6 --subnet 10.201.0.0/24 --subnet 2001:db8:77::/64 crew").ok();
        serve(dhow, "web", "--network crew -p 8080:7000");
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        assert_eq!(caller(&world.at_peer(&format!("ask [{HOST6}]:8080 whoami"))), PEER6);
        // A neighbour reaches it where it is, and also where it is published.
        let gateway = inspect(dhow, "web", ".NetworkSettings.Networks.crew.Gateway");
        let answer = probe_on(dhow, "--network crew", &format!("ask {HOST}:8080 whoami"));
        assert_eq!(answer.get("result"), "ok", "{answer:?}");
        assert!(probe_on(dhow, "--network crew", &format!("connect {gateway}:8080")).get("result") != "ok");
        let answer = probe_on(dhow, "--network crew", "ask web:7000 whoami");
        assert!(["10.201.0.", "2001:db8:77::"].iter().any(|net| answer.get("answer").starts_with(net)), "{answer:?}");
        // One network more or less does not take the port away.
        dhow.cmd("network create more").ok();
        dhow.cmd("network connect more web").ok();
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        dhow.cmd("network disconnect more web").ok();
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        end(dhow, "web");
        dhow.cmd("network create --internal inner").ok();
        dhow.cmd("run -d --name hidden --network inner -p 8080:7000 net /probe net serve 7000").output();
        assert_eq!(world.at_peer(&format!("connect {HOST}:8080")).get("result"), "!111");
        assert_eq!(dhow.cmd("port hidden").ok().out(), "");
        dhow.cmd("network connect crew hidden").ok();
        assert_eq!(caller(&world.at_peer(&format!("ask {HOST}:8080 whoami"))), PEER);
        assert_eq!(dhow.cmd("port hidden 7000").ok().lines(), ["0.0.0.0:8080", "[::]:8080"]);
        dhow.cmd("network disconnect crew hidden").ok();
        assert_eq!(world.at_peer(&format!("connect {HOST}:8080")).get("result"), "!111");
        end(dhow, "hidden");
        dhow.cmd("network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 near").ok();
        serve(dhow, "close", "--network near -p 8080:7000");
        assert_eq!(dhow.cmd("port close 7000").ok().lines(), ["127.0.0.1:8080"]);
        assert_eq!(world.at_host("ask 127.0.0.1:8080 whoami").get("result"), "ok");
        assert_eq!(world.at_peer(&format!("connect {HOST}:8080")).get("result"), "!111");
        end(dhow, "close");
        dhow.cmd("network rm near").ok();
        dhow.cmd("network rm crew more inner").ok();
    }
}
