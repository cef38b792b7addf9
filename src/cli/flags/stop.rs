//! The flags of `stop` and `restart`.

use clap::Args;

use dhow_error::Failure;
use dhow_model::signal;

/// The signal, and the time before the container is killed.
#[derive(Args)]
pub(crate) struct StopFlags {
    /// Signal to begin with, in place of the container's own
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before killing; -1 waits without end
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_hyphen_values = true)]
    pub(crate) timeout: Option<i64>,
}

impl StopFlags {
    /// The signal's number; None without the flag.
    pub(crate) fn signal(&self) -> Result<Option<i32>, Failure> {
        self.signal.as_deref().map(signal::parse).transpose()
    }
}
