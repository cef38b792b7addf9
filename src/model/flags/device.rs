//! `--device HOST[:CONTAINER][:PERMISSIONS]`.

use std::path::Path;
use std::str::FromStr;

use crate::container::DeviceSpec;
use dhow_error::{Failure, invalid, unsupported};

impl FromStr for DeviceSpec {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        if is_cdi(text) {
            return Err(unsupported(format!(
                "`{text}` names a device of the Container Device Interface, which is not in this version"
            )));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, permissions) = match parts.as_slice() {
            [host] => (*host, *host, "rwm"),
            // docker takes a second part of only these letters as permissions, never as a path.
            [host, mode] if is_mode(mode) => (*host, *host, *mode),
            [host, container] => (*host, *container, "rwm"),
            [host, container, mode] if is_mode(mode) => (*host, *container, *mode),
            [_, _, mode] => {
                return Err(malformed(text, &format!("bad mode specified: {}", mode.escape_debug())));
            }
            _ => return Err(malformed(text, "too many colons")),
        };
        if !host.starts_with('/') || !container.starts_with('/') {
            return Err(malformed(text, "paths must be absolute"));
        }
        let host = Path::new(host).to_path_buf();
        Ok(Self { host, container: container.to_owned(), permissions: permissions.to_owned() })
    }
}

fn malformed(text: &str, why: &str) -> Failure {
    invalid(format!("invalid device specification `{}`: {why}", text.escape_debug()))
        .hint("HOST[:CONTAINER][:PERMISSIONS], as in /dev/fuse or /dev/sda:/dev/disk:r")
}

/// `r`, `w` and `m`, each at most once.
fn is_mode(text: &str) -> bool {
    let once = |letter| text.matches(letter).count() <= 1;
    !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b)) && once('r') && once('w') && once('m')
}

fn is_cdi(text: &str) -> bool {
    !text.starts_with('/') && text.contains('/') && text.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_lengths() {
        let device = |text: &str| {
            text.parse::<DeviceSpec>().map(|d| (d.host.display().to_string(), d.container, d.permissions))
        };
        let expect = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(device("/dev/x").unwrap(), expect("/dev/x", "/dev/x", "rwm"));
        assert_eq!(device("/dev/x:r").unwrap(), expect("/dev/x", "/dev/x", "r"));
        assert_eq!(device("/dev/x:/dev/y").unwrap(), expect("/dev/x", "/dev/y", "rwm"));
        assert_eq!(device("/dev/x:/dev/y:mw").unwrap(), expect("/dev/x", "/dev/y", "mw"));
        for bad in
            ["", "x", "/dev/x:rr", "/dev/x:y", "/dev/x:/y:q", "/dev/x:/y:r:w", "/dev/x:", "v.com/gpu=all"]
        {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
