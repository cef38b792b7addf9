//! Finds out who holds a port, from the sockets in `/proc/net` (proc_net(5)) and the processes that have them
//! open.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

use dhow_model::network::PortProtocol;

/// States in `/proc/net/tcp` of a listening socket (`TCP_LISTEN`, net/tcp_states.h) and of one that is only
/// bound.
const LISTEN: &str = "0A";
const CLOSED: &str = "07";
/// Maximum number of lines to look at; a machine may have a million connections.
const MAX_LINES: usize = 200_000;

/// The process of this user that keeps `at` from being bound, as `nginx (pid 123)`. `None` if it is invisible: it belongs
/// to another user, or the caller is in a user namespace below it.
pub fn port_holder(protocol: PortProtocol, at: SocketAddr) -> Option<String> {
    let tables = match protocol {
        PortProtocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        PortProtocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let read = |path: &&str| fs::read_to_string(path).ok();
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(read)
        .flat_map(|table| socket_inodes(&table, at))
        .filter(|inode| *inode != 0)
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let own_uid = fs::metadata("/proc/self").ok()?.uid();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok).filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            // Nobody but root can read the descriptors of other users.
            && entry.metadata().is_ok_and(|metadata| metadata.uid() == own_uid || own_uid == 0)
    });
    for process in processes {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let matches = |link: std::path::PathBuf| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            inodes.contains(&inode).then_some(())
        };
        let mut links = files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok());
        if links.any(|link| matches(link).is_some()) {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            let pid = process.file_name();
            return Some(format!("{} (pid {})", name.trim_end().escape_debug(), pid.to_str()?));
        }
    }
    None
}

/// The inodes of the sockets in one of these tables that block `at`.
fn socket_inodes(table: &str, at: SocketAddr) -> Vec<u64> {
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (ip, number) = local.rsplit_once(':')?;
        let number = u16::from_str_radix(number, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        (number == at.port() && [LISTEN, CLOSED].contains(&state) && overlap(address(ip)?, at.ip()))
            .then_some(inode)
    };
    table.lines().skip(1).take(MAX_LINES).filter_map(inode).collect()
}

/// An address as those tables have it: words of 32 bits in the machine's byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |digits: &str| Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return word(hex).map(IpAddr::from);
    }
    let words = [0, 8, 16, 24].map(|at| word(hex.get(at..at + 8)?));
    let bytes = words.into_iter().collect::<Option<Vec<_>>>()?.concat();
    <[u8; 16]>::try_from(bytes).ok().filter(|_| hex.len() == 32).map(IpAddr::from)
}

/// Whether a socket at `local` keeps others from binding `wanted`, with the same port.
fn overlap(local: IpAddr, wanted: IpAddr) -> bool {
    // An IPv6 socket may have an IPv4 address.
    let local = local.to_canonical();
    match (local.is_unspecified(), wanted.is_unspecified()) {
        // Sockets at :: usually take IPv4 too (ipv6(7), IPV6_V6ONLY).
        (true, _) => local.is_ipv6() || wanted.is_ipv4(),
        (false, true) => local.is_ipv4() == wanted.is_ipv4(),
        (false, false) => local == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n\
            1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1\n\
            2: 00000000:1F91 00000000:0000 0A garbage\n";
        let inodes = |at: &str| socket_inodes(table, at.parse().unwrap());
        assert_eq!((inodes("127.0.0.1:8080"), inodes("0.0.0.0:8080")), (vec![4711], vec![4711]));
        for free in ["127.0.0.1:8081", "127.0.0.2:8080", "[::]:8080"] {
            assert_eq!(inodes(free), [0_u64; 0], "{free}");
        }
    }

    #[test]
    fn addresses_of_the_kernel_are_read() {
        for (hex, text) in [
            ("0100007F", "127.0.0.1"),
            ("B80D0120000000000000000001000000", "2001:db8::1"),
            ("0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(address(hex), text.parse().ok());
        }
        assert_eq!((address(""), address("7F"), address("0100007Fx")), (None, None, None));
        let overlaps = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlaps("::", "127.0.0.1") && overlaps("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(
            overlaps("0.0.0.0", "127.0.0.1") && overlaps("127.0.0.1", "0.0.0.0") && overlaps("::1", "::")
        );
        assert!(!overlaps("0.0.0.0", "::1") && !overlaps("127.0.0.1", "::") && !overlaps("::1", "127.0.0.1"));
    }

    #[test]
    fn the_holder_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = port_holder(PortProtocol::Tcp, socket.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
    }
}
