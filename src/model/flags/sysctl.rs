//! `--sysctl NAME=VALUE`: namespaced kernel parameters.

use std::collections::BTreeMap;

use dhow_error::{Failure, invalid};

/// The sysctls of the IPC namespace besides `fs.mqueue.*`.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Parses name and value; fails for sysctls that are not namespaced.
pub fn parse(text: &str) -> Result<(String, String), Failure> {
    let malformed = || invalid(format!("invalid sysctl `{}`", text.escape_debug())).hint("NAME=VALUE");
    let (name, value) = text.split_once('=').ok_or_else(malformed)?;
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"._-/*:".contains(&b);
    if name.is_empty() || !name.bytes().all(safe) || name.contains("..") || value.contains('\0') {
        return Err(malformed());
    }
    // sysctl(8) accepts slashes as separators; in a name with dots they are part of an interface's name.
    let name = if name.contains('.') { name.to_owned() } else { name.replace('/', ".") };
    if is_network(&name) || is_ipc(&name) || name == "kernel.domainname" || name == "kernel.hostname" {
        return Ok((name, value.to_owned()));
    }
    Err(invalid(format!("sysctl '{}' is not allowed: it is the host's", name.escape_debug()))
        .hint("net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm* belong to a container"))
}

/// Whether it belongs to the network namespace.
pub fn is_network(name: &str) -> bool {
    name.starts_with("net.")
}

/// Whether it belongs to the IPC namespace.
pub fn is_ipc(name: &str) -> bool {
    IPC.contains(&name) || name.starts_with("fs.mqueue.")
}

/// Whether the sysctls disable IPv6.
pub fn is_without_v6(sysctls: &BTreeMap<String, String>) -> bool {
    let names = ["net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"];
    names.iter().any(|name| sysctls.get(*name).is_some_and(|value| value.trim() == "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_ones() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(parse("net.core.somaxconn=1024").unwrap(), pair("net.core.somaxconn", "1024"));
        assert_eq!(parse("kernel.sem=1 2 3 4").unwrap(), pair("kernel.sem", "1 2 3 4"));
        assert_eq!(parse("net/ipv4/ip_forward=1").unwrap(), pair("net.ipv4.ip_forward", "1"));
        for bad in
            ["", "net.x", "=1", "kernel.core_pattern=|x", "vm.swappiness=1", "net../../x=1", "kernel.shmx=1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
