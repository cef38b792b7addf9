//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` in containers, as docker writes them.

use super::*;
use crate::support::world::*;

const LOOPBACK: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                        ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// A file of the running container `name`.
fn file(dhow: &Dhow, name: &str, path: &str) -> String {
    dhow.cmd("exec").arg(name).arg("cat").arg(path).ok().out() + "\n"
}

fn hosts(dhow: &Dhow, name: &str) -> String {
    file(dhow, name, "/etc/hosts")
}

/// A field of the container's endpoint on `network`.
fn place(dhow: &Dhow, name: &str, network: &str, field: &str) -> String {
    inspect(dhow, name, &format!("(index .NetworkSettings.Networks \"{network}\").{field}"))
}

/// The lines for the container's own addresses on `network`.
fn own(dhow: &Dhow, name: &str, network: &str, names: &str) -> String {
    let addresses = ["IPAddress", "GlobalIPv6Address"].map(|field| place(dhow, name, network, field));
    addresses.iter().filter(|text| !text.is_empty()).map(|text| format!("{text}\t{names}\n")).collect()
}

each_mode_in_world! {
    fn hosts_has_loopback_extra_hosts_and_own_addresses(dhow, world) {
        let options = "-h web.example.org --add-host buoy:192.0.2.7 --add-host gate:host-gateway";
        dhow.cmd("run -d --name web").words(options).words("net sleep 1000").ok();
        let gateways = ["Gateway", "IPv6Gateway"].map(|field| place(dhow, "web", "bridge", field));
        let gates: String =
            gateways.iter().filter(|text| !text.is_empty()).map(|text| format!("{text}\tgate\n")).collect();
        let names = own(dhow, "web", "bridge", "web.example.org web");
        assert_eq!(hosts(dhow, "web"), format!("{LOOPBACK}192.0.2.7\tbuoy\n{gates}{names}"));
        // The gateway's address leads to the host's loopback.
        let listener = world.host.call(|| std::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(inside(dhow, "web", &format!("connect gate:{port}")).get("result"), "ok");
        end(dhow, "web");
        let out = dhow.cmd("run --rm --network none -h web net cat /etc/hosts").ok().out();
        assert_eq!(out + "\n", LOOPBACK);
        let out = dhow.cmd("run --rm --network host net cat /etc/hosts /etc/resolv.conf").ok().out();
        assert_eq!(out.trim(), (world.host.read("/etc/hosts") + &world.host.read("/etc/resolv.conf")).trim());
        let out = dhow.cmd("run --rm --network host --add-host a:192.0.2.7 net cat /etc/hosts").ok().out();
        assert_eq!(out + "\n", format!("{LOOPBACK}192.0.2.7\ta\n"));
        dhow.cmd("run --rm --network none --add-host a:host-gateway net true").fails(125, &["host-gateway"]);
    }

    fn hosts_follows_the_networks(dhow, _world) {
        dhow.cmd("network create --ipv6 crew").ok();
        dhow.cmd("run -d --name web -h web --dns 192.0.2.9 net sleep 1000").ok();
        let before = hosts(dhow, "web");
        assert_eq!(before, format!("{LOOPBACK}{}", own(dhow, "web", "bridge", "web")));
        assert_eq!(file(dhow, "web", "/etc/resolv.conf"), "nameserver 192.0.2.9\n");
        dhow.cmd("exec web sh -c").arg("echo '192.0.2.8 mine' >>/etc/hosts").ok();
        dhow.cmd("network connect crew web").ok();
        let joined = own(dhow, "web", "crew", "web");
        assert_eq!(joined.lines().count(), 2);
        assert_eq!(hosts(dhow, "web"), format!("{before}192.0.2.8 mine\n{joined}"));
        // There are names now.
        assert_eq!(file(dhow, "web", "/etc/resolv.conf"), "nameserver 127.0.0.11\noptions ndots:0\n");
        dhow.cmd("network disconnect crew web").ok();
        assert_eq!(hosts(dhow, "web"), format!("{before}192.0.2.8 mine\n"));
        // What was changed while it ran holds for its next start.
        dhow.cmd("network connect crew web").ok();
        dhow.cmd("restart -t 0 web").ok();
        let [first, second] = ["bridge", "crew"].map(|network| own(dhow, "web", network, "web"));
        assert_eq!(hosts(dhow, "web"), format!("{LOOPBACK}{first}{second}"));
        end(dhow, "web");
        dhow.cmd("network rm crew").ok();
    }

    fn links_on_the_default_network_are_lines(dhow, _world) {
        dhow.cmd("network create crew").ok();
        dhow.cmd("run -d --name far --network crew net sleep 1000").ok();
        dhow.cmd("run -d --name db -h store net sleep 1000").ok();
        dhow.cmd("run -d --name web -h web --link db --link db:base net sleep 1000").ok();
        let lines = own(dhow, "db", "bridge", "db store") + &own(dhow, "db", "bridge", "base store db");
        assert_eq!(hosts(dhow, "web"), format!("{LOOPBACK}{lines}{}", own(dhow, "web", "bridge", "web")));
        dhow.cmd("run --rm --name xx --link far net true").fails(125, &["Cannot link to /far, as it does not belong to the default network"]);
        dhow.cmd("run --rm --link nobody net true").fails(125, &["could not get container for nobody"]);
        dhow.cmd("stop -t 0 db").ok();
        dhow.cmd("run --rm --name xx --link db:base net true").fails(125, &["Cannot link to a non running container: /db AS /xx/base"]);
        end(dhow, "web db far");
        dhow.cmd("network rm crew").ok();
    }

    fn who_shares_a_network_has_its_files(dhow, _world) {
        dhow.cmd("network create crew").ok();
        serve(dhow, "one", "--network crew");
        dhow.cmd("run -d --name web --network crew --dns-search example --add-host buoy:192.0.2.7 net sleep 1000").ok();
        dhow.cmd("run -d --name side --network container:web net sleep 1000").ok();
        for path in ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname"] {
            assert_eq!(file(dhow, "side", path), file(dhow, "web", path), "{path}");
        }
        assert!(hosts(dhow, "side").contains("192.0.2.7\tbuoy\n"));
        assert_eq!(inside(dhow, "side", "ask one:7000 whoami").get("result"), "ok");
        end(dhow, "side web one");
        dhow.cmd("network rm crew").ok();
    }
}
