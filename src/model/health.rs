//! Health checks as they are asked for: by an image or by flags, in docker's own form.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A health check (docker's `HealthConfig`). Spans are in nanoseconds; 0 means docker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthSpec {
    /// `["CMD", …]`, `["CMD-SHELL", command]`, `["NONE"]`, or empty where the image decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long one check may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long after the start failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between checks during the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// So many failures in a row make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What is run: the words of a command.
pub type Test = Vec<String>;

impl HealthSpec {
    /// The check that switches the image's off.
    pub fn none() -> Self {
        Self { test: vec!["NONE".into()], ..Self::default() }
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These settings, with those of `image` where nothing was asked.
    #[must_use]
    pub fn or(mut self, image: &HealthSpec) -> Self {
        let fill = |mine: &mut i64, theirs: i64| {
            if *mine == 0 {
                *mine = theirs;
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

    /// The command to run, if there is a check; one of a kind that docker does not know is none. `shell` is the
    /// image's, for `CMD-SHELL`.
    pub fn command(&self, shell: Option<&[String]>) -> Option<Test> {
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

    /// Between checks.
    pub fn interval(&self) -> Duration {
        span(self.interval, Duration::from_secs(30))
    }

    /// How long one check may take.
    pub fn timeout(&self) -> Duration {
        span(self.timeout, Duration::from_secs(30))
    }

    /// How long after the start failures do not count.
    pub fn start_period(&self) -> Duration {
        span(self.start_period, Duration::ZERO)
    }

    /// Between checks during the start period.
    pub fn start_interval(&self) -> Duration {
        span(self.start_interval, Duration::from_secs(5))
    }

    /// So many failures in a row make it unhealthy.
    pub fn retries(&self) -> u32 {
        u32::try_from(self.retries).ok().filter(|number| *number > 0).unwrap_or(3)
    }
}

fn span(nanoseconds: i64, default: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
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
        let merged = HealthSpec { retries: 5, ..HealthSpec::default() }.or(&image);
        assert_eq!(merged, HealthSpec { retries: 5, ..image.clone() });
        assert_eq!(HealthSpec::none().or(&image).command(None), None);
        assert_eq!(merged.interval(), Duration::from_nanos(7));
        assert_eq!(HealthSpec::default().timeout(), Duration::from_secs(30));
    }
}
