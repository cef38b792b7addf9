//! What long image operations report while they run; the command line draws it, `-q` discards it.
//!
//! An operation calls a [`Progress`] from several threads, one per layer, and as often as it likes: implementations
//! decide what to show. The texts of [`LayerEvent`] are docker's, so that plain output equals docker's lines.

use std::fmt;

/// Receives what happens to layers. Must be quick: it is called in the download loop.
pub trait Progress: Sync {
    /// The layer with this short ID (twelve digits of its digest) is now in this state.
    fn event(&self, layer: &str, event: LayerEvent);

    /// A line about the whole operation, such as `latest: Pulling from library/debian`.
    fn line(&self, text: &str);
}

/// The state of a layer. Byte counts are of the form that is transferred (compressed); `total` is 0 where unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerEvent {
    /// Announced; nothing has happened yet.
    PullingFsLayer,
    /// Another layer goes first, or another process works on this layer.
    Waiting,
    /// Bytes received so far.
    Downloading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The connection broke or the registry is busy; the next try comes after this many seconds.
    Retrying {
        /// Seconds to wait.
        seconds: u64,
    },
    /// All bytes are here and the digest is being compared.
    VerifyingChecksum,
    /// The digest was right.
    DownloadComplete,
    /// Files are being created.
    Extracting {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The layer is in the store.
    PullComplete,
    /// The layer was in the store before.
    AlreadyExists,
    /// To be pushed; nothing has happened yet.
    Preparing,
    /// Being compressed and sent; counts bytes of the uncompressed layer.
    Pushing {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The registry has taken it.
    Pushed,
    /// The registry had it already.
    LayerExists,
    /// The registry took it over from this repository of its own.
    MountedFrom(String),
    /// Loading from an archive: bytes read of the layer.
    Loading {
        /// Bytes so far.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
}

impl LayerEvent {
    /// Bytes so far and in all, for the states that count them.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        match self {
            Self::Downloading { current, total }
            | Self::Extracting { current, total }
            | Self::Loading { current, total }
            | Self::Pushing { current, total } => Some((*current, *total)),
            _ => None,
        }
    }

    /// Whether nothing follows for this layer.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::PullComplete
                | Self::AlreadyExists
                | Self::Pushed
                | Self::LayerExists
                | Self::MountedFrom(_)
        )
    }
}

impl fmt::Display for LayerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PullingFsLayer => "Pulling fs layer",
            Self::Waiting => "Waiting",
            Self::Downloading { .. } => "Downloading",
            Self::Retrying { seconds: 1 } => return f.write_str("Retrying in 1 second"),
            Self::Retrying { seconds } => return write!(f, "Retrying in {seconds} seconds"),
            Self::VerifyingChecksum => "Verifying Checksum",
            Self::DownloadComplete => "Download complete",
            Self::Extracting { .. } => "Extracting",
            Self::PullComplete => "Pull complete",
            Self::AlreadyExists => "Already exists",
            Self::Loading { .. } => "Loading layer",
            Self::Preparing => "Preparing",
            Self::Pushing { .. } => "Pushing",
            Self::Pushed => "Pushed",
            Self::LayerExists => "Layer already exists",
            Self::MountedFrom(repository) => return write!(f, "Mounted from {repository}"),
        })
    }
}

/// Discards everything.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _layer: &str, _event: LayerEvent) {}
    fn line(&self, _text: &str) {}
}
