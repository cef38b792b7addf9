//! Progress of pulls, pushes and loads, as reported by image operations and shown by the command line.
//!
//! A [`LayerProgress`] is called from several threads, one per layer, at any rate; implementations decide
//! what to show. The texts of [`LayerEvent`] are docker's, so that plain output matches docker's lines.

use std::fmt;

/// Receives progress. Called from the download loop, so it has to return quickly.
pub trait LayerProgress: Sync {
    /// `layer` is the short ID: twelve digits of its digest.
    fn event(&self, layer: &str, event: LayerEvent);

    /// A line about the whole operation, `latest: Pulling from library/debian`.
    fn line(&self, text: &str);
}

/// The state of a layer. Byte counts are compressed sizes unless noted; `total` is 0 if unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerEvent {
    /// Announced; not started yet.
    PullingFsLayer,
    /// Behind other layers, or another process is pulling it.
    Waiting,
    Downloading {
        current: u64,
        total: u64,
    },
    /// The connection failed or the registry is overloaded.
    Retrying {
        /// Until the next attempt.
        seconds: u64,
    },
    VerifyingChecksum,
    /// The digest matches.
    DownloadComplete,
    Extracting {
        current: u64,
        total: u64,
    },
    PullComplete,
    AlreadyExists,
    /// To be pushed; not started yet.
    Preparing,
    /// Byte counts are of the uncompressed layer.
    Pushing {
        current: u64,
        total: u64,
    },
    Pushed,
    /// The registry already has it.
    LayerExists,
    /// Mounted from this other repository of the registry, without an upload.
    MountedFrom(String),
    /// Loading from an archive.
    Loading {
        current: u64,
        total: u64,
    },
}

impl LayerEvent {
    /// Bytes so far and in total, for states that count them.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        match self {
            Self::Downloading { current, total }
            | Self::Extracting { current, total }
            | Self::Loading { current, total }
            | Self::Pushing { current, total } => Some((*current, *total)),
            _ => None,
        }
    }

    /// Whether this is the layer's last event.
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

/// Discards all events (`-q`).
pub struct SilentProgress;

impl LayerProgress for SilentProgress {
    fn event(&self, _layer: &str, _event: LayerEvent) {}
    fn line(&self, _text: &str) {}
}
