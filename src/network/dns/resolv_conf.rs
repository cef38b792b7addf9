//! The host's name servers: the `nameserver` lines of resolv.conf(5), read again whenever the file changes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Number of servers used, as in the C library (MAXNS in resolv.conf(5)).
pub(crate) const MAX_SERVERS: usize = 3;
/// Bytes of the file that are read.
const MAX_FILE_SIZE: u64 = 64 << 10;

/// Detects that a file was replaced or written to: device, inode, size, and ctime in seconds and nanoseconds.
type FileStamp = (u64, u64, u64, i64, i64);

/// The name servers of a resolv.conf file.
#[derive(Debug)]
pub(crate) struct HostResolvers {
    path: PathBuf,
    port: u16,
    stamp: Option<FileStamp>,
    servers: Arc<[SocketAddr]>,
}

impl HostResolvers {
    /// Reads `path` on every call of [`Self::servers`]; the servers listen on `port`.
    pub(crate) fn new(path: PathBuf, port: u16) -> Self {
        Self { path, port, stamp: None, servers: Arc::default() }
    }

    /// The current servers. Costs a stat(2), which follows symbolic links, so any change takes effect with
    /// the next query.
    pub(crate) fn servers(&mut self) -> Arc<[SocketAddr]> {
        let stamp = std::fs::metadata(&self.path)
            .ok()
            .map(|data| (data.dev(), data.ino(), data.size(), data.ctime(), data.ctime_nsec()));
        if stamp != self.stamp || stamp.is_none() {
            self.stamp = stamp;
            self.servers = parse_nameservers(&self.text(), self.port).into();
        }
        Arc::clone(&self.servers)
    }

    fn text(&self) -> String {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        // A missing or unreadable file counts as empty.
        let _ =
            std::fs::File::open(&self.path).and_then(|file| file.take(MAX_FILE_SIZE).read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The first servers in `text`, or the host itself if there are none (resolv.conf(5)).
pub(crate) fn parse_nameservers(text: &str, port: u16) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver"))
            .then(|| words.next())
            .flatten()
            .and_then(|word| parse_nameserver(word, port))
    });
    let servers: Vec<SocketAddr> = named.take(MAX_SERVERS).collect();
    if servers.is_empty() { vec![(Ipv4Addr::LOCALHOST, port).into()] } else { servers }
}

/// Parses an address; an IPv6 one may have an interface: `fe80::1%eth0`.
fn parse_nameserver(text: &str, port: u16) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address, port).into());
    }
    let (address, interface) = text.split_once('%')?;
    let scope = interface.parse().or_else(|_| dhow_sys::interface::index_of(interface)).ok()?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_text() {
        let text = "# nameserver 192.0.2.9\n;x\nsearch a\nnameserver 192.0.2.1\n\tnameserver\t::1 x\nnameserver nonsense\n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.4\n";
        let servers: Vec<String> = parse_nameservers(text, 53).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "[fe80::1%1]:53"]);
        assert_eq!(parse_nameservers("search a\nnameserver\n", 53), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn another_file_is_noticed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        let mut resolvers = HostResolvers::new(path.clone(), 53);
        let mut now =
            || resolvers.servers().iter().map(|server| server.ip().to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(now(), "127.0.0.1");
        for link in [false, true] {
            for last in 1..50 {
                let text = format!("nameserver 192.0.2.{last}\n");
                let temporary = dir.path().join(format!("new{link}{last}"));
                if link {
                    let target = dir.path().join(format!("target{last}"));
                    std::fs::write(&target, text).unwrap();
                    std::os::unix::fs::symlink(target, &temporary).unwrap();
                } else {
                    std::fs::write(&temporary, text).unwrap();
                }
                std::fs::rename(temporary, &path).unwrap();
                assert_eq!(now(), format!("192.0.2.{last}"));
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(now(), "127.0.0.1");
    }
}
