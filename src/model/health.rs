//! Health checks as given by an image or by flags, in docker's format.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// docker's `HealthConfig`. Durations are in nanoseconds; 0 means the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthSpec {
    /// `["CMD", …]`, `["CMD-SHELL", command]`, `["NONE"]`, or empty to inherit the image's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Of one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// After the start: failures in this time do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks in the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Consecutive failures until the container is unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The argv of a health check.
pub(crate) type HealthTest = Vec<String>;

impl HealthSpec {
    /// Disables the image's check.
    pub fn none() -> Self {
        Self { test: vec!["NONE".into()], ..Self::default() }
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills in what was not set from `image`.
    #[must_use]
    pub fn with_defaults(mut self, image: &HealthSpec) -> Self {
        let fill = |value: &mut i64, default: i64| {
            // docker's format has no other way to say that nothing was set.
            if *value == 0 {
                *value = default;
            }
        };
        if self.test.is_empty() {
            self.test.clone_from(&image.test);
        }
        fill(&mut self.interval, image.interval);
        fill(&mut self.timeout, image.timeout);
        fill(&mut self.start_period, image.start_period);
        fill(&mut self.start_interval, image.start_interval);
        fill(&mut self.retries, image.retries);
        self
    }

    /// The command to run; `None` if there is no check, or one of a type that docker does not know. `shell`
    /// is the image's SHELL, for `CMD-SHELL`.
    pub fn command(&self, shell: Option<&[String]>) -> Option<HealthTest> {
        let (kind, words) = self.test.split_first()?;
        match kind.as_str() {
            "CMD" if !words.is_empty() => Some(words.to_vec()),
            "CMD-SHELL" if words.len() == 1 => {
                let default = ["/bin/sh".to_owned(), "-c".to_owned()];
                let shell = shell.filter(|words| !words.is_empty()).unwrap_or(&default);
                Some([shell, words].concat())
            }
            _ => None,
        }
    }

    /// 30 s by default.
    pub fn interval(&self) -> Duration {
        span(self.interval, Duration::from_secs(30))
    }

    /// 30 s by default.
    pub fn timeout(&self) -> Duration {
        span(self.timeout, Duration::from_secs(30))
    }

    /// 0 by default.
    pub fn start_period(&self) -> Duration {
        span(self.start_period, Duration::ZERO)
    }

    /// 5 s by default.
    pub fn start_interval(&self) -> Duration {
        span(self.start_interval, Duration::from_secs(5))
    }

    /// 3 by default.
    pub fn retries(&self) -> u32 {
        u32::try_from(self.retries).ok().filter(|number| *number > 0).unwrap_or(3)
    }
}

fn span(nanoseconds: i64, default: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
        // Zero and negative values mean the default, as in docker.
        Ok(1..) => Duration::from_nanos(nanoseconds.unsigned_abs()),
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(words: &[&str]) -> HealthSpec {
        HealthSpec { test: words.iter().map(|word| (*word).to_owned()).collect(), ..HealthSpec::default() }
    }

    #[test]
    fn commands() {
        let command = |words: &[&str]| test(words).command(None).map(|words| words.join(" "));
        assert_eq!(command(&["CMD", "a", "b"]).unwrap(), "a b");
        assert_eq!(command(&["CMD-SHELL", "a | b"]).unwrap(), "/bin/sh -c a | b");
        for none in [&[][..], &["NONE"], &["CMD"], &["CMD-SHELL"], &["WHAT", "x"]] {
            assert_eq!(command(none), None);
        }
        let shell = ["/bin/bash".to_owned(), "-ec".to_owned()];
        assert_eq!(test(&["CMD-SHELL", "a"]).command(Some(&shell)).unwrap(), ["/bin/bash", "-ec", "a"]);
    }

    #[test]
    fn flags_win_over_the_image_one_by_one() {
        let image = HealthSpec { interval: 7, retries: 2, ..test(&["CMD", "image"]) };
        let merged = HealthSpec { retries: 5, ..HealthSpec::default() }.with_defaults(&image);
        assert_eq!(merged, HealthSpec { retries: 5, ..image.clone() });
        assert_eq!(HealthSpec::none().with_defaults(&image).command(None), None);
        assert_eq!(merged.interval(), Duration::from_nanos(7));
        assert_eq!(HealthSpec::default().timeout(), Duration::from_secs(30));
    }
}
