//! `network create`, `ls`, `inspect`, `rm`, `prune`, `connect` and `disconnect`, and network flags of `run`, without
//! sending a packet.

use crate::support::{Dhow, each_mode};

fn names(dhow: &Dhow, options: &str) -> Vec<String> {
    let format = ["--format", "{{.Name}}"];
    dhow.cmd("network ls").args(options.split_whitespace()).args(format).ok().lines()
}

/// Creates a container and does not start it.
fn created(dhow: &Dhow, options: &str) {
    dhow.cmd(&format!("create {options} busybox true")).ok();
}

fn shown(dhow: &Dhow, container: &str, format: &str) -> String {
    dhow.cmd("inspect").args(["-f", format, container]).ok().out()
}

each_mode! {
    fn made_listed_inspected_and_removed(dhow) {
        let id = dhow.cmd("network create --label tier=back back").ok().out();
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        dhow.cmd("network create back").fails(1, &["network with name back already exists"]);
        assert_eq!(names(dhow, ""), ["back", "bridge", "host", "none"]);
        let table = dhow.cmd("network ls -f name=back").ok().lines();
        assert_eq!(table[0], "NETWORK ID     NAME      DRIVER    SCOPE");
        assert_eq!(table[1], format!("{}   back      bridge    local", &id[..12]));
        assert_eq!(names(dhow, "-f type=builtin -f driver=null"), ["none"]);
        assert_eq!(names(dhow, "-f label=tier=back"), ["back"]);
        assert_eq!(dhow.cmd("network ls -q --no-trunc -f name=back").ok().out(), id);
        let seen = dhow.cmd("network inspect").arg(&id[..8]).ok().json();
        assert_eq!((&seen[0]["Name"], &seen[0]["Driver"]), (&"back".into(), &"bridge".into()));
        assert_eq!(dhow.cmd("inspect --type network -f {{.Id}} back").ok().out(), id);
        dhow.cmd("network inspect nothing").fails(1, &["network nothing not found"]);
        for name in ["bridge", "host", "none"] {
            dhow.cmd("network rm").arg(name).fails(1, &["is a pre-defined network and cannot be removed"]);
        }
        assert_eq!(dhow.cmd("network rm back").ok().out(), "back");
        dhow.cmd("network rm back").fails(1, &["network back not found"]);
        dhow.cmd("network rm -f back").ok();
        assert_eq!(names(dhow, ""), ["bridge", "host", "none"]);
    }

    fn subnets_are_as_asked_or_free(dhow) {
        let flags = "--subnet 198.51.100.0/24,2001:db8::/64 --ip-range 198.51.100.128/25 --gateway 198.51.100.9 \
            --aux-address spare=198.51.100.130 --internal --egress-allow example.org:443 -o com.docker.network.driver.mtu=1400";
        dhow.cmd(&format!("network create {flags} both")).ok();
        let seen = dhow.cmd("network inspect both").ok().json();
        let pools = serde_json::json!([
            {"Subnet": "198.51.100.0/24", "IPRange": "198.51.100.128/25", "Gateway": "198.51.100.9",
             "AuxiliaryAddresses": {"spare": "198.51.100.130"}},
            {"Subnet": "2001:db8::/64", "Gateway": "2001:db8::1"},
        ]);
        assert_eq!(seen[0]["IPAM"]["Config"], pools);
        assert_eq!((&seen[0]["Internal"], &seen[0]["EnableIPv6"]), (&true.into(), &true.into()));
        assert_eq!(seen[0]["EgressAllow"][0], "example.org:443");
        for (flags, why) in [
            ("--subnet 198.51.100.0/25", "Pool overlaps with other one on this address space"),
            ("--subnet 203.0.113.5/24", "it should be 203.0.113.0/24"),
            ("--gateway 203.0.113.1", "must have a corresponding subnet"),
            ("--subnet 203.0.113.0/24 --gateway 192.0.2.1", "no matching subnet for gateway"),
            ("--subnet nonsense", "invalid CIDR address"),
            ("--ipv4=false", "IPv4 or IPv6 must be enabled"),
            ("-d overlay", "swarm"),
            ("-d macvlan", "only root"),
            ("-d host", "only one instance"),
            ("--config-only", "swarm"),
            ("--scope swarm", "swarm"),
            ("--ipam-driver other", "plugin not found"),
            ("--egress-allow a:b", "--egress-allow"),
            ("-o com.docker.network.driver.mtu=much", "invalid value"),
            ("--ipv6 -o com.docker.network.driver.mtu=1200", "1280"),
        ] {
            dhow.cmd(&format!("network create {flags} other")).fails(1, &[why]);
        }
        dhow.cmd("network create a/b").fails(1, &["invalid network name"]);
        dhow.cmd("network create host").fails(1, &["operation is not permitted on predefined host network"]);
        dhow.cmd("network create -o colour=red one").warns("option colour has no effect").ok();
        dhow.cmd("network create two").ok();
        let subnet = |name: &str| {
            dhow.cmd("network inspect -f").args(["{{(index .IPAM.Config 0).Subnet}}", name]).ok().out()
        };
        assert!(subnet("one") != subnet("two") && subnet("one") != subnet("bridge"));
    }

    fn pruning_takes_what_no_container_is_on(dhow) {
        dhow.with_busybox();
        for name in ["used", "idle", "old"] {
            dhow.cmd("network create --label").args([format!("is={name}").as_str(), name]).ok();
        }
        created(dhow, "--name web --network used");
        let pruned = dhow.cmd("network prune -f --filter label=is=old").ok().lines();
        assert_eq!(pruned, ["Deleted Networks:", "old"]);
        assert_eq!(dhow.cmd("network prune -f").ok().lines(), ["Deleted Networks:", "idle"]);
        assert_eq!(names(dhow, "-f type=custom"), ["used"]);
        dhow.cmd("rm web").ok();
        let pruned = dhow.cmd("system prune -f").ok().lines();
        assert!(pruned.contains(&"used".to_owned()), "{pruned:?}");
    }

    fn what_a_container_asks_is_kept_and_shown(dhow) {
        dhow.with_busybox();
        dhow.cmd("network create --subnet 198.51.100.0/24 back").ok();
        dhow.cmd("network create front").ok();
        created(dhow, "--name plain");
        assert_eq!(shown(dhow, "plain", "{{.HostConfig.NetworkMode}} {{json .NetworkSettings.Ports}}"), "bridge {}");
        created(dhow, "--name web --network name=back,alias=db,ip=198.51.100.9 --network front \
            -p 127.0.0.1:8080:80 -p 53/udp -P --mac-address 02:42:c6:33:64:09");
        let place = "{{with .NetworkSettings.Networks.back}}{{.IPAMConfig.IPv4Address}} {{.Aliases}} {{.DNSNames}}{{end}}";
        let id = dhow.cmd("ps -aq -f name=web").ok().out();
        assert_eq!(shown(dhow, "web", place), format!("198.51.100.9 [db] [web db {id}]"));
        let ports = shown(dhow, "web", "{{json .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}}");
        assert_eq!(ports, r#"{"53/udp":[{"HostIp":"","HostPort":""}],"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]} true"#);
        let listed = dhow.cmd("ps -a -f network=front --format").arg("{{.Names}} {{.Networks}}|{{.Ports}}").ok().out();
        assert_eq!(listed, "web back,front|");
        assert_eq!(dhow.cmd("port web").ok().out(), "");
        dhow.cmd("port web 80").fails(1, &["No public port '80/tcp' published for web"]);
        for (flags, why) in [
            ("--network mesh", "network mesh not found"),
            ("--network back --ip 192.0.2.1", "no configured subnet contains IP address 192.0.2.1"),
            ("--network front --ip 192.0.2.1", "networks with user configured subnets"),
            ("--ip 192.0.2.1", "user defined networks only"),
            ("--network-alias x", "only supported for user-defined networks"),
            ("--network back --network back", "specified multiple times"),
            ("--network back --network host", "both user-defined and non-user-defined"),
            ("--network host --link x", "host type networking can't be used with links"),
            ("--network container:web -p 80:80", "port publishing and the container type network mode"),
            ("--link nobody", "could not get container for nobody"),
            ("-p 80:80/sctp", "SCTP"),
            ("--network name=back,driver-opt=com.docker.network.endpoint.ifname=lo", "name of an interface"),
        ] {
            dhow.cmd(&format!("run --rm {flags} busybox true")).fails(125, &[why]);
        }
        dhow.cmd("create --network host -p 80:80 busybox true").warns("Published ports are discarded").ok();
    }

    fn connected_and_disconnected_while_it_does_not_run(dhow) {
        dhow.with_busybox();
        dhow.cmd("network create --subnet 198.51.100.0/24 back").ok();
        created(dhow, "--name web");
        created(dhow, "--name alone --network none");
        created(dhow, "--name shared --network host");
        dhow.cmd("network connect --alias db --ip 198.51.100.9 --gw-priority 3 back web").ok();
        let place = "{{with .NetworkSettings.Networks.back}}{{.Aliases}} {{.IPAMConfig.IPv4Address}} {{.GwPriority}}{{end}}";
        assert_eq!(shown(dhow, "web", place), "[db] 198.51.100.9 3");
        for (words, why) in [
            ("connect back web", "endpoint with name web already exists in network back"),
            ("connect back alone", "in private (none) mode"),
            ("connect back shared", "host network"),
            ("connect host web", "host network"),
            ("connect mesh web", "network mesh not found"),
            ("connect back nobody", "No such container: nobody"),
            ("connect --alias x bridge web", "user-defined networks"),
            ("disconnect back alone", "is not connected to network back"),
        ] {
            dhow.cmd(&format!("network {words}")).fails(1, &[why]);
        }
        dhow.cmd("network disconnect back web").ok();
        assert_eq!(dhow.cmd("ps -a -f name=web --format {{.Networks}}").ok().out(), "bridge");
        dhow.cmd("network disconnect back web").fails(1, &["is not connected to network back"]);
        let told = dhow.cmd("events --since 10m --until 0s --filter type=network --format {{.Action}}").ok().lines();
        let told: Vec<_> = told.iter().filter(|action| action.ends_with("connect")).collect();
        assert_eq!(told, ["connect", "disconnect"]);
    }
}
