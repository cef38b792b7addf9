//! The ways in which a network can be made, best first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Failure, invalid};

/// A way to make a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// The kernel's TCP on both sides, by `tproxy` and a TUN device.
    Tproxy,
}

const NAMES: &[(Rung, &str)] = &[(Rung::Tproxy, "tproxy")];

impl fmt::Display for Rung {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(rung, _)| rung == self).map_or("", |(_, name)| *name);
        out.write_str(name)
    }
}

impl FromStr for Rung {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(rung, _)| *rung).ok_or_else(|| {
            let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
            invalid(format!(
                "`{}` is no way to make a network; there are {}",
                text.escape_debug(),
                names.join(", ")
            ))
        })
    }
}
