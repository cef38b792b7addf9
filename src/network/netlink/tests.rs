//! What is sent to the kernel, byte for byte, and what is read from its answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::message::RouteHeader;
use super::requests::{
    Ipv4Devconf, LinkAttribute, RouteSpec, RuleSelector, TABLE_LOCAL, TABLE_MAIN, VethEnd, VethPeer,
};
use super::*;
use dhow_model::network::MacAddress;

const NEAR: MacAddress = MacAddress([2, 0x11, 0x12, 0x13, 0x14, 0x15]);
const FAR: MacAddress = MacAddress([2, 0x21, 0x22, 0x23, 0x24, 0x25]);
const INDEX: u32 = 0x0102_0304;

/// The requests of the test below as netlink-packet-route 0.34 encoded them on a little-endian machine.
const ENCODED: &str = "
make the bridge br0
  60000000 10000106 01000000 00000000 00000000 04030201 00000000 00000000 08000300 62723000 0a000100
  02111213 14150000 08000400 dc050000 24001200 0b000100 62726964 67650000 14000200 05001700 00000000
  06002700 00000000
make the interface eth0
  ac000000 10000106 02000000 00000000 00000000 04030201 01000000 01000000 0b000300 706f7274 31370000
  08000400 f0ff0000 08001f00 01000000 08002000 01000000 60001200 09000100 76657468 00000000 50000200
  4c000100 00000000 00000000 00000000 00000000 09000300 65746830 00000000 0a000100 02212223 24250000
  08000400 f0ff0000 08001c00 9cffffff 08001f00 01000000 08002000 01000000 08000a00 07000000
make the interface eth0
  b0000000 10000106 03000000 00000000 00000000 04030201 01000000 01000000 0b000300 706f7274 31380000
  08000400 dc050000 08001f00 01000000 08002000 01000000 60001200 09000100 76657468 00000000 50000200
  4c000100 00000000 00000000 00000000 00000000 09000300 65746830 00000000 0a000100 02212223 24250000
  08000400 dc050000 08001c00 9cffffff 08001f00 01000000 08002000 01000000 0a000100 02111213 14150000
make the interface gate0
  a8000000 10000106 04000000 00000000 00000000 04030201 80000000 80000000 08000400 ffff0000 08001f00
  01000000 08002000 01000000 0a000300 67617465 30000000 0a000100 02111213 14150000 58001200 09000100
  76657468 00000000 48000200 44000100 00000000 05030201 00000000 00000000 08000400 ffff0000 08001f00
  01000000 08002000 01000000 0a000300 67617465 31000000 0a000100 02212223 24250000
bring up lo
  20000000 13000100 05000000 00000000 00000000 01000000 01000000 01000000
turn off ARP on tap110
  20000000 13000100 06000000 00000000 00000000 04030201 80000000 80000000
set up br0
  2c000000 13000100 07000000 00000000 00000000 04030201 01000000 01000000 0c001a00 08000200 04000180
set up tun0
  70000000 13000100 08000000 00000000 00000000 04030201 01000000 01000000 0a000100 02111213 14150000
  08000400 ffff0000 08000d00 00040000 08002800 01000000 2c001a00 28000200 24000180 08000100 01000000
  08000300 01000000 08000800 00000000 08001700 01000000
attach port17
  28000000 13000100 09000000 00000000 00000000 04030201 00000000 00000000 08000a00 07000000
attach port17
  28000000 13000100 0a000000 00000000 00000000 04030201 00000000 00000000 08000a00 00000000
isolate port17
  2c000000 13000100 0b000000 00000000 07000000 04030201 00000000 00000000 0c000c80 05002100 01000000
delete the interface port17
  20000000 11000100 0c000000 00000000 00000000 04030201 00000000 00000000
add the address 192.0.2.3/24
  30000000 14000105 0d000000 00000000 02188200 04030201 08000200 c0000203 08000100 c0000203 08000400
  c00002ff
add the address 192.0.2.4/32
  28000000 14000105 0e000000 00000000 02208200 04030201 08000200 c0000204 08000100 c0000204
add the address 2001:db8::3/64
  40000000 14000105 0f000000 00000000 0a408200 04030201 14000200 20010db8 00000000 00000000 00000003
  14000100 20010db8 00000000 00000000 00000003
add the route to 0.0.0.0/0
  24000000 18000105 10000000 00000000 02000000 6504fd01 00000000 08000400 04030201
add the route to 192.0.2.0/24
  2c000000 18000105 11000000 00000000 02180000 fe04fd01 00000000 08000400 04030201 08000100 c0000200
add the route to 0.0.0.0/0
  24000000 18000105 12000000 00000000 02000000 6404fe02 00000000 08000400 04030201
add the route to 0.0.0.0/0
  38000000 18000105 13000000 00000000 02000000 fe040001 00000000 08000400 04030201 08000500 c0000201
  0c000800 08000200 dc050000
add the route to 192.0.2.0/32
  34000000 18000105 14000000 00000000 02200000 fe040001 00000000 08000400 04030201 08000100 c0000200
  08000500 c0000201
add the route to ::/0
  24000000 18000105 15000000 00000000 0a000000 6504fd01 00000000 08000400 04030201
add the route to 2001:db8::/64
  38000000 18000105 16000000 00000000 0a400000 fe04fd01 00000000 08000400 04030201 14000100 20010db8
  00000000 00000000 00000000
add the route to ::/0
  24000000 18000105 17000000 00000000 0a000000 6404fe02 00000000 08000400 04030201
add the route to ::/0
  44000000 18000105 18000000 00000000 0a000000 fe040001 00000000 08000400 04030201 14000500 00000000
  00000000 00000000 00000001 0c000800 08000200 dc050000
add the route to 2001:db8::/128
  4c000000 18000105 19000000 00000000 0a800000 fe040001 00000000 08000400 04030201 14000100 20010db8
  00000000 00000000 00000000 14000500 00000000 00000000 00000000 00000001
add the routing rule 1
  2c000000 20000106 1a000000 00000000 02000000 64000001 00000000 08000600 01000000 08000a00 02000000
add the routing rule 2
  2c000000 20000106 1b000000 00000000 02000000 65000001 00000000 08000600 02000000 08000300 62723000
add the routing rule 3
  24000000 20000106 1c000000 00000000 02000000 ff000001 00000000 08000600 03000000
add the routing rule 1110
  2c000000 20000106 1d000000 00000000 02002000 6e000001 00000000 08000600 56040000 08000200 c0000203
delete the routing rule 0
  24000000 21000100 1e000000 00000000 02000000 ff000001 00000000 08000600 00000000
add the routing rule 1
  2c000000 20000106 1f000000 00000000 0a000000 64000001 00000000 08000600 01000000 08000a00 02000000
add the routing rule 2
  2c000000 20000106 20000000 00000000 0a000000 65000001 00000000 08000600 02000000 08000300 62723000
add the routing rule 3
  24000000 20000106 21000000 00000000 0a000000 ff000001 00000000 08000600 03000000
add the routing rule 1110
  38000000 20000106 22000000 00000000 0a008000 6e000001 00000000 08000600 56040000 14000200 00000000
  00000000 00000000 00000001
delete the routing rule 0
  24000000 21000100 23000000 00000000 0a000000 ff000001 00000000 08000600 00000000
add the neighbour 192.0.2.3
  30000000 1c000105 24000000 00000000 02000000 04030201 80000001 08000100 c0000203 0a000200 02212223
  24250000
delete the neighbour 192.0.2.3
  24000000 1d000100 25000000 00000000 02000000 04030201 00000000 08000100 c0000203
add the neighbour 2001:db8::3
  3c000000 1c000105 26000000 00000000 0a000000 04030201 80000001 14000100 20010db8 00000000 00000000
  00000003 0a000200 02212223 24250000
delete the neighbour 2001:db8::3
  30000000 1d000100 27000000 00000000 0a000000 04030201 00000000 14000100 20010db8 00000000 00000000
  00000003
is 192.0.2.3 local
  24000000 1a000100 01000000 00000000 02200000 00000000 00000000 08000100 c0000203
is 2001:db8::3 local
  30000000 1a000100 01000000 00000000 0a800000 00000000 00000000 14000100 20010db8 00000000 00000000
  00000003
";

#[test]
fn requests_have_the_bytes_that_the_kernel_was_always_sent() {
    let mut batch = RouteBatch::default();
    push_links(&mut batch);
    push_addresses(&mut batch);
    push_routes(&mut batch);
    push_rules(&mut batch);
    push_neighbours(&mut batch);
    let mut text = String::from("\n");
    let mut rest = batch.bytes.as_slice();
    for name in &batch.names {
        let (request, after) = rest.split_at(u32_at(rest, 0).unwrap() as usize);
        text += &layout(name, request);
        rest = after;
    }
    assert!(rest.is_empty());
    for address in ["192.0.2.3", "2001:db8::3"] {
        let question = requests::route_question(address.parse().unwrap());
        text += &layout(&format!("is {address} local"), &question);
    }
    assert_eq!(text, ENCODED);
}

fn push_links(batch: &mut RouteBatch) {
    batch.add_bridge(INDEX, "br0", NEAR, 1500);
    // A descriptor with a number that does not change: `AT_FDCWD`.
    let peer = VethPeer { netns: rustix::fs::CWD, name: "eth0", mac: FAR };
    batch.add_veth(INDEX, "port17", 65_520, LinkAttribute::Bridge(7), &peer);
    batch.add_veth(INDEX, "port18", 1500, LinkAttribute::Address(NEAR), &peer);
    let (near, far) = (
        VethEnd { index: INDEX, name: "gate0", mac: NEAR },
        VethEnd { index: INDEX + 1, name: "gate1", mac: FAR },
    );
    let one_queue = [LinkAttribute::Mtu(65_535), LinkAttribute::TxQueues(1), LinkAttribute::RxQueues(1)];
    batch.add_local_veth(&near, &far, &one_queue);
    batch.up(1, "lo");
    batch.disable_arp(INDEX, "tap110");
    batch.set_up(INDEX, "br0", &[], &[]);
    let settings = [
        (Ipv4Devconf::Forwarding, 1),
        (Ipv4Devconf::ProxyArp, 1),
        (Ipv4Devconf::ReversePathFilter, 0),
        (Ipv4Devconf::AcceptLocal, 1),
    ];
    let more = [
        LinkAttribute::Address(NEAR),
        LinkAttribute::Mtu(65_535),
        LinkAttribute::TxQueueLength(1024),
        LinkAttribute::GsoMaxSegments(1),
    ];
    batch.set_up(INDEX, "tun0", &settings, &more);
    batch.set_bridge(INDEX, "port17", 7);
    batch.set_bridge(INDEX, "port17", 0);
    batch.isolate(INDEX, "port17");
    batch.delete(INDEX, "port17");
}

fn push_addresses(batch: &mut RouteBatch) {
    for address in ["192.0.2.3/24", "192.0.2.4/32", "2001:db8::3/64"] {
        batch.add_address(INDEX, address.parse().unwrap());
    }
}

fn push_routes(batch: &mut RouteBatch) {
    let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    let near: [IpNet; 2] = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/64".parse().unwrap()];
    let via: [IpAddr; 2] = [Ipv4Addr::new(192, 0, 2, 1).into(), Ipv6Addr::LOCALHOST.into()];
    for version in [0, 1] {
        let default =
            |table| RouteSpec { to: all[version], via: None, out: INDEX, table, local: false, mtu: None };
        batch.add_route(&default(101));
        batch.add_route(&RouteSpec { to: near[version], ..default(TABLE_MAIN) });
        batch.add_route(&RouteSpec { local: true, ..default(100) });
        batch.add_route(&RouteSpec { via: Some(via[version]), mtu: Some(1500), ..default(TABLE_MAIN) });
        let host = IpNet::from(near[version].addr());
        batch.add_route(&RouteSpec { to: host, via: Some(via[version]), ..default(TABLE_MAIN) });
    }
}

fn push_rules(batch: &mut RouteBatch) {
    for v6 in [false, true] {
        batch.add_rule(v6, 1, RuleSelector::Mark(2), 100);
        batch.add_rule(v6, 2, RuleSelector::InputInterface("br0"), 101);
        batch.add_rule(v6, 3, RuleSelector::All, TABLE_LOCAL);
        let source = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::new(192, 0, 2, 3).into() };
        batch.add_rule(v6, 1110, RuleSelector::Source(source), 110);
        batch.delete_rule(v6, 0, TABLE_LOCAL);
    }
}

fn push_neighbours(batch: &mut RouteBatch) {
    for address in ["192.0.2.3", "2001:db8::3"] {
        let address = address.parse().unwrap();
        batch.add_neighbour(INDEX, address, FAR);
        batch.delete_neighbour(INDEX, address);
    }
}

/// One line with the name, then lines of up to eleven words each.
fn layout(name: &str, request: &[u8]) -> String {
    let words: Vec<String> =
        request.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
    let lines: String = words.chunks(11).map(|line| format!("  {}\n", line.join(" "))).collect();
    format!("{name}\n{lines}")
}

#[test]
fn an_error_comes_with_its_number_and_what_the_kernel_says() {
    let mut bytes = Vec::new();
    for (sequence, code, text) in [(1, -17_i32, "no good\0"), (2, 0, "")] {
        let length = HEADER + 4 + HEADER + if text.is_empty() { 0 } else { 4 + text.len() };
        bytes.extend((length as u32).to_ne_bytes());
        bytes.extend(NLMSG_ERROR.to_ne_bytes());
        bytes.extend((if text.is_empty() { 0 } else { ACK_TLVS }).to_ne_bytes());
        bytes.extend(u32::to_ne_bytes(sequence));
        bytes.extend([0; 4]);
        bytes.extend(code.to_ne_bytes());
        bytes.extend([0; HEADER]);
        if !text.is_empty() {
            bytes.extend((4 + text.len() as u16).to_ne_bytes());
            bytes.extend(ATTR_MSG.to_ne_bytes());
            bytes.extend(text.as_bytes());
        }
    }
    let (first, rest) = next_answer(&bytes).unwrap();
    assert_eq!((first.sequence, first.error.raw_os_error()), (1, Some(libc::EEXIST)));
    assert_eq!(first.text.as_deref(), Some("no good"));
    let (second, rest) = next_answer(rest).unwrap();
    assert_eq!((second.sequence, second.error.raw_os_error(), second.text), (2, Some(0), None));
    assert!(next_answer(rest).is_none());
    for cut in 0..bytes.len() {
        let _ = next_answer(&bytes[..cut]);
    }
}

#[test]
fn an_answer_is_the_expected_message_or_an_error() {
    let body = [2, 32, 0, 0, 255, 2, 254, libc::RTN_LOCAL, 0, 0, 0, 0];
    let answer = received(libc::RTM_NEWROUTE, &body);
    assert_eq!(expect_message(&answer, libc::RTM_NEWROUTE).unwrap(), body);
    assert_eq!(RouteHeader::kind_in(&body), Some(libc::RTN_LOCAL));
    let other = expect_message(&answer, libc::RTM_NEWRULE).unwrap_err();
    assert_eq!(other.kind(), io::ErrorKind::InvalidData);
    let refusal = received(NLMSG_ERROR, &(-libc::ENETUNREACH).to_ne_bytes());
    let refused = expect_message(&refusal, libc::RTM_NEWROUTE).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENETUNREACH));
    for cut in 0..answer.len() {
        assert!(expect_message(&answer[..cut], libc::RTM_NEWROUTE).is_err());
    }
    for cut in 0..body.len() {
        assert_eq!(RouteHeader::kind_in(&body[..cut]), None);
    }
}

fn received(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (HEADER as u32 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(body);
    bytes
}
