//! The backends that can carry a network, best first, and the choice among them.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::sync::lock;

use dhow_error::{Failure, FailureKind, invalid};

/// How a network is carried. The order of the variants is the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkBackend {
    /// Kernel TCP on both sides, with `tproxy` rules and a TUN device.
    Tproxy,
    /// Like `Tproxy`, with a veth pair and a packet socket in place of the TUN device.
    Packet,
    /// Like `Tproxy`, with destination NAT in place of `tproxy`; either device.
    Redirect,
    /// A user-space TCP stack towards the containers; either device, no nf_tables rules.
    Stack,
    /// pasta(1) in the gateway.
    Pasta,
    /// slirp4netns(1) in the gateway.
    Slirp4netns,
}

const NAMES: [(NetworkBackend, &str); 6] = [
    (NetworkBackend::Tproxy, "tproxy"),
    (NetworkBackend::Packet, "packet"),
    (NetworkBackend::Redirect, "redirect"),
    (NetworkBackend::Stack, "stack"),
    (NetworkBackend::Pasta, "pasta"),
    (NetworkBackend::Slirp4netns, "slirp4netns"),
];

impl NetworkBackend {
    /// All backends, best first.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(backend, _)| *backend)
    }

    /// Whether the helper makes the connections itself, so that its own egress policy applies.
    pub(crate) fn uses_forwarder(self) -> bool {
        self <= Self::Stack
    }

    /// Whether the kernel terminates the containers' TCP connections, at listeners in the gateway.
    pub(crate) fn has_listeners(self) -> bool {
        self <= Self::Redirect
    }
}

impl fmt::Display for NetworkBackend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(backend, _)| backend == self).map_or("", |(_, name)| *name);
        out.write_str(name)
    }
}

impl FromStr for NetworkBackend {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let entry = NAMES.iter().find(|(_, name)| *name == text);
        entry.map(|(backend, _)| *backend).ok_or_else(|| {
            let names = NAMES.map(|(_, name)| name).join(", ");
            invalid(format!("`{}` is no network backend; there are {names}", text.escape_debug()))
        })
    }
}

/// Selects the best backend that works by trying each, and remembers those that failed.
#[derive(Debug, Default)]
pub(crate) struct BackendSelector {
    forced: Option<NetworkBackend>,
    refused: Mutex<Vec<(NetworkBackend, String)>>,
}

impl BackendSelector {
    /// Selects among all backends, or only `forced`.
    pub(crate) fn new(forced: Option<NetworkBackend>) -> Self {
        Self { forced, refused: Mutex::default() }
    }

    /// Tries the backends, best first, until one works. Backends that failed are not retried once another has
    /// worked.
    pub(crate) fn select<T>(
        &self,
        mut attempt: impl FnMut(NetworkBackend) -> anyhow::Result<T>,
    ) -> anyhow::Result<(NetworkBackend, T)> {
        if let Some(backend) = self.forced {
            let result = attempt(backend).map_err(|error| {
                let reason = format!("{error:#}");
                let failure = Failure::new(
                    FailureKind::Unsupported,
                    format!("the way {backend} does not work: {reason}"),
                );
                *self.lock_refused() = vec![(backend, reason)];
                failure.hint(FALLBACK_HINT)
            });
            return Ok((backend, result?));
        }
        let mut refused = self.refused();
        // Last time nothing worked. The cause may be fixed by now, so try everything again.
        if refused.len() == NAMES.len() {
            refused.clear();
        }
        for backend in NetworkBackend::all() {
            if refused.iter().any(|(known, _)| *known == backend) {
                continue;
            }
            match attempt(backend) {
                Ok(value) => {
                    // Worse backends that failed earlier are not worth reporting.
                    refused.retain(|(other, _)| *other < backend);
                    *self.lock_refused() = refused;
                    return Ok((backend, value));
                }
                Err(error) => refused.push((backend, format!("{error:#}"))),
            }
        }
        refused.sort();
        self.lock_refused().clone_from(&refused);
        Err(no_backend_error(&refused).into())
    }

    /// The backends that do not work, with the reason.
    pub(crate) fn refused(&self) -> Vec<(NetworkBackend, String)> {
        self.lock_refused().clone()
    }

    fn lock_refused(&self) -> std::sync::MutexGuard<'_, Vec<(NetworkBackend, String)>> {
        lock(&self.refused)
    }
}

const FALLBACK_HINT: &str = "--network host uses the host's network, --network none has none";

fn no_backend_error(refused: &[(NetworkBackend, String)]) -> Failure {
    let reasons: String =
        refused.iter().map(|(backend, reason)| format!("\n  {backend}: {reason}")).collect();
    Failure::new(FailureKind::Unsupported, format!("no network backend works on this machine:{reasons}"))
        .hint(FALLBACK_HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for backend in NetworkBackend::all() {
            assert_eq!(backend.to_string().parse::<NetworkBackend>().unwrap(), backend);
            assert_eq!(serde_json::to_string(&backend).unwrap(), format!("\"{backend}\""));
        }
        let error = "magic".parse::<NetworkBackend>().unwrap_err().to_string();
        assert!(error.contains("magic") && error.contains("slirp4netns"), "{error}");
    }

    #[test]
    fn the_best_that_works_is_taken_and_the_others_are_not_tried_again() {
        let selector = BackendSelector::new(None);
        let mut tried = Vec::new();
        let mut attempt = |backend| {
            tried.push(backend);
            if backend < NetworkBackend::Redirect { Err(anyhow::anyhow!("lacks a thing")) } else { Ok(()) }
        };
        assert_eq!(selector.select(&mut attempt).unwrap().0, NetworkBackend::Redirect);
        assert_eq!(selector.select(&mut attempt).unwrap().0, NetworkBackend::Redirect);
        assert_eq!(
            tried,
            [
                NetworkBackend::Tproxy,
                NetworkBackend::Packet,
                NetworkBackend::Redirect,
                NetworkBackend::Redirect
            ]
        );
        assert_eq!(selector.refused()[1], (NetworkBackend::Packet, "lacks a thing".to_owned()));
    }

    #[test]
    fn where_nothing_works_all_reasons_are_said_and_all_is_tried_again() {
        let selector = BackendSelector::new(None);
        let error = selector.select::<()>(|backend| Err(anyhow::anyhow!("no {backend} today"))).unwrap_err();
        let said = format!("{error:#}");
        assert!(
            NetworkBackend::all().all(|backend| said.contains(&format!("{backend}: no {backend} today"))),
            "{said}"
        );
        assert_eq!(selector.refused().len(), NAMES.len());
        assert_eq!(selector.select(|_| Ok(())).unwrap().0, NetworkBackend::Tproxy);
        assert!(selector.refused().is_empty());
    }

    #[test]
    fn a_way_that_is_forced_is_the_only_one() {
        let selector = BackendSelector::new(Some(NetworkBackend::Stack));
        assert_eq!(selector.select(|_| Ok(())).unwrap().0, NetworkBackend::Stack);
        let error = selector.select::<()>(|_| Err(anyhow::anyhow!("broken"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "the way stack does not work: broken");
    }
}
