//! Finds out who holds a port, from the sockets in `/proc/net` (proc_net(5)) and the processes that have them
//! open.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use dhow_model::network::PortProtocol;

/// States in `/proc/net/tcp` of a listening socket (`TCP_LISTEN`, net/tcp_states.h) and of one that is only
/// bound.
const LISTEN: &str = "0A";
const CLOSED: &str = "07";
/// Maximum number of lines to look at; a machine may have a million connections.
const MAX_LINES: usize = 200_000;

/// The process of this user that holds a port, as `nginx (pid 123)`. `None` if it is invisible: it belongs to
/// another user, or the caller is in a user namespace below it.
pub fn port_holder(protocol: PortProtocol, port: u16) -> Option<String> {
    let tables = match protocol {
        PortProtocol::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        PortProtocol::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let read = |path: &&str| fs::read_to_string(path).ok();
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(read)
        .flat_map(|table| socket_inodes(&table, port))
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

/// The inodes of the sockets in one of these tables that block `port`.
fn socket_inodes(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let number = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let inode = fields.nth(5)?.parse().ok()?;
        (number == port && [LISTEN, CLOSED].contains(&state)).then_some(inode)
    };
    table.lines().skip(1).take(MAX_LINES).filter_map(inode).collect()
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
        assert_eq!(socket_inodes(table, 8080), [4711]);
        assert_eq!(socket_inodes(table, 8081), [0_u64; 0]);
    }

    #[test]
    fn the_holder_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = port_holder(PortProtocol::Tcp, socket.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{holder}");
    }
}
