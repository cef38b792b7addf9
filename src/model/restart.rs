//! Restart policies and the backoff between restarts.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use dhow_error::{Failure, invalid};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    No,
    /// If the exit code is not 0.
    OnFailure {
        /// Maximum number of restarts; 0 for unlimited.
        max: u32,
    },
    /// Always, until stopped by the user; after a reboot even then.
    Always,
    /// Like `always`, but not after a reboot if it was stopped by the user.
    UnlessStopped,
}

impl RestartPolicy {
    /// Whether a container that exited on its own with `exit_code` is restarted, after `restarts` restarts in
    /// a row.
    pub fn should_restart(self, exit_code: i32, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::OnFailure { max } => exit_code != 0 && (max == 0 || restarts < max),
            Self::Always | Self::UnlessStopped => true,
        }
    }

    /// docker's name, without the maximum.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure { .. } => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// The maximum number of restarts; 0 for none.
    pub fn max(self) -> u32 {
        if let Self::OnFailure { max } = self { max } else { 0 }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { max } if *max > 0 => write!(out, "on-failure:{max}"),
            other => out.write_str(other.name()),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let policy = match name {
            "" | "no" => Self::No,
            "on-failure" => Self::OnFailure { max: number.map_or(Ok(0), |number| count(text, number))? },
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            _ => {
                return Err(invalid(format!("invalid restart policy '{}'", text.escape_debug()))
                    .hint("one of no, on-failure[:MAX], always, unless-stopped"));
            }
        };
        match (policy, number) {
            // Only on-failure takes a maximum.
            (Self::OnFailure { .. }, _) | (_, None) => Ok(policy),
            _ => Err(invalid(format!(
                "invalid restart policy '{}': maximum retry count can only be used with 'on-failure'",
                text.escape_debug()
            ))),
        }
    }
}

fn count(text: &str, number: &str) -> Result<u32, Failure> {
    number.parse().map_err(|_| {
        invalid(format!(
            "invalid restart policy '{}': maximum retry count must be a number of 0 or more",
            text.escape_debug()
        ))
    })
}

/// docker's delays between restarts: 100 ms, doubled up to one minute, reset after a run of ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestartBackoff {
    last: Duration,
}

impl RestartBackoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(60);
    const RESET_AFTER: Duration = Duration::from_secs(10);

    /// The delay before the next start, after a run of length `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        self.last = match self.last {
            Duration::ZERO => Self::FIRST,
            // It ran long enough to count as started.
            _ if ran >= Self::RESET_AFTER => Self::FIRST,
            last => (last * 2).min(Self::LONGEST),
        };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("".parse::<RestartPolicy>().unwrap(), RestartPolicy::No);
        for text in ["sometimes", "always:3", "on-failure:x", "on-failure:-1", "no:1"] {
            assert!(text.parse::<RestartPolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn failures_are_counted() {
        let policy = RestartPolicy::OnFailure { max: 2 };
        assert!(policy.should_restart(1, 1));
        assert!(!policy.should_restart(1, 2));
        assert!(!policy.should_restart(0, 0));
        assert!(RestartPolicy::OnFailure { max: 0 }.should_restart(1, 1000));
        assert!(RestartPolicy::Always.should_restart(0, 1000));
    }

    #[test]
    fn pauses_double_to_a_minute() {
        let mut backoff = RestartBackoff::default();
        let pauses: Vec<u128> = (0..12).map(|_| backoff.next(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses[..4], [100, 200, 400, 800]);
        assert_eq!(pauses[11], 60_000);
        assert_eq!(backoff.next(Duration::from_secs(10)).as_millis(), 100);
    }
}
