//! Platforms (`os/architecture[/variant]`), and how well an image's platform fits.

use std::fmt;
use std::str::FromStr;

use dhow_error::{Failure, invalid, unsupported};

/// Operating system and architecture in Go's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `linux` of all that runs here.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …; may be empty.
    pub variant: String,
}

impl Platform {
    /// The platform that this executable was built for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "aarch64" => ("arm64", "v8"),
            "x86" => ("386", ""),
            // Rust's ARCH does not tell the byte order; docker images exist for ppc64le.
            "powerpc64" => ("ppc64le", ""),
            "arm" => ("arm", "v7"),
            other => (other, ""),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.into() }
    }

    pub fn is_linux(&self) -> bool {
        self.os == "linux"
    }

    /// How well an image for `offered` suits a request for `self`: higher is better, `None` is unusable.
    /// 32-bit arm images of a lower variant run on a higher one; otherwise all parts must match.
    pub fn rank(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        if self.default_variant() == offered.default_variant() {
            return Some(100);
        }
        // No variant was asked for: another one is usable, but second best.
        if self.variant.is_empty() {
            return Some(50);
        }
        if self.architecture != "arm" {
            return None;
        }
        match (arm_version(self.default_variant()), arm_version(offered.default_variant())) {
            (Some(requested), Some(available)) if available < requested => Some(available),
            _ => None,
        }
    }

    fn default_variant(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "") => "v8",
            ("arm", "") => "v7",
            // amd64/v1 is the baseline, which images usually leave out.
            ("amd64", "v1") => "",
            (_, variant) => variant,
        }
    }
}

fn arm_version(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok()
}

/// The error where images or programs of another system than Linux would have to run.
pub fn not_linux(platform: &Platform) -> Failure {
    unsupported(format!("platform `{platform}` is not one of Linux, the only system whose images dhow runs"))
}

impl FromStr for Platform {
    type Err = Failure;

    /// Parses `os/arch[/variant]`, `arch[/variant]` or `os`; machine names (`x86_64`, `aarch64`) are
    /// accepted. Whether it can run here is another question.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let malformed = || {
            invalid(format!(
                "`{}` is not a platform (os/architecture[/variant], as in linux/arm64)",
                text.escape_debug()
            ))
        };
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        if parts.iter().any(|part| {
            part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }) {
            return Err(malformed());
        }
        let (os, architecture, variant) = match parts.as_slice() {
            // An operating system alone stands for the host's architecture, as in containerd.
            [os] if is_os(os) => return Ok(Self { os: normal_os(os).into(), ..Self::host() }),
            [architecture] => ("linux", *architecture, ""),
            [os, architecture] if is_os(os) => (*os, *architecture, ""),
            // `arm/v7`: the first part is no operating system.
            [architecture, variant] => ("linux", *architecture, *variant),
            [os, architecture, variant] => (*os, *architecture, *variant),
            _ => return Err(malformed()),
        };
        let (architecture, implied) = normal_architecture(architecture);
        let variant = if variant.is_empty() { implied } else { variant };
        if !is_os(os) || !ARCHITECTURES.contains(&architecture) {
            let text = text.escape_debug();
            return Err(invalid(format!("\"{text}\": unknown operating system or architecture"))
                .hint("a platform is os/architecture[/variant], as in linux/arm64"));
        }
        Ok(Self { os: normal_os(os).into(), architecture: architecture.into(), variant: variant.into() })
    }
}

/// Go's operating systems (`isKnownOS` in containerd's platforms), and `wasi`, as docker's images for
/// WebAssembly have it.
const SYSTEMS: [&str; 20] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "macos",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasi",
    "wasip1",
    "windows",
    "zos",
];

/// Go's architectures (`isKnownArch` in containerd's platforms).
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

fn is_os(text: &str) -> bool {
    SYSTEMS.contains(&text)
}

fn normal_os(text: &str) -> &str {
    if text == "macos" { "darwin" } else { text }
}

fn normal_architecture(text: &str) -> (&str, &str) {
    match text {
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "i386" | "i486" | "i586" | "i686" => ("386", ""),
        // Debian's names of its ports, read as containerd does.
        "armhf" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        other => (other, ""),
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn reads_short_and_machine_names() {
        assert_eq!(platform("linux/x86_64").to_string(), "linux/amd64");
        assert_eq!(platform("aarch64").to_string(), "linux/arm64");
        assert_eq!(platform("arm/v6").to_string(), "linux/arm/v6");
        assert_eq!(platform("armhf").to_string(), "linux/arm/v7");
        assert_eq!(platform("windows/amd64").to_string(), "windows/amd64");
        assert_eq!(platform("macos/arm64").to_string(), "darwin/arm64");
        assert_eq!(platform("wasi/wasm").to_string(), "wasi/wasm");
        assert_eq!(platform("freebsd").os, "freebsd");
        for bad in [
            "",
            "/",
            "linux/",
            "a/b/c/d",
            "linux/am d64",
            "toaster",
            "linux/toaster",
            "beos/amd64",
            "beos/arm/v7",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefers_the_exact_variant() {
        let wanted = platform("linux/arm/v7");
        assert!(wanted.rank(&platform("linux/arm/v7")) > wanted.rank(&platform("linux/arm/v6")));
        assert_eq!(wanted.rank(&platform("linux/arm64")), None);
        assert_eq!(platform("linux/arm/v6").rank(&platform("linux/arm/v7")), None);
        assert_eq!(platform("linux/arm64").rank(&platform("linux/arm64/v8")), Some(100));
    }
}
