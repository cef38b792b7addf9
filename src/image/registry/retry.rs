//! Delays between retries: exponential with jitter, or as requested by the server.

use std::time::Duration;

use jiff::Timestamp;
use ureq::Body;
use ureq::http::Response;

/// Maximum delay, chosen here or requested by a server.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Counts attempts.
#[derive(Debug)]
pub(crate) struct RetryBackoff {
    first: Duration,
    tries: u32,
    left: u32,
}

impl RetryBackoff {
    /// Allows `tries` attempts in total; the first delay is about `first`.
    pub(crate) fn new(tries: u32, first: Duration) -> Self {
        Self { first, tries, left: tries.saturating_sub(1) }
    }

    /// The delay before the next attempt; `None` if there is none left, or if the server's requested delay
    /// `requested` is longer than a minute.
    pub(crate) fn next(&mut self, requested: Option<Duration>) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        if let Some(requested) = requested {
            return (requested <= MAX_DELAY).then_some(requested);
        }
        // 16 keeps the shift in range; MAX_DELAY caps the result anyway.
        let exponent = (self.tries - 2).saturating_sub(self.left).min(16);
        let delay = self.first.saturating_mul(1 << exponent).min(MAX_DELAY);
        Some(delay.mul_f64(0.75 + 0.5 * random_fraction()))
    }

    /// Starts again after progress.
    pub(crate) fn reset(&mut self) {
        self.left = self.tries.saturating_sub(1);
    }
}

/// Jitter, to spread clients that failed at the same time. Any value will do if randomness is unavailable.
fn random_fraction() -> f64 {
    f64::from(dhow_sys::random::random_bytes().map_or(0, u32::from_ne_bytes)) / f64::from(u32::MAX)
}

/// The delay requested by a response (`Retry-After`, in seconds or as a date).
pub(crate) fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    parse_retry_after(text.trim(), Timestamp::now())
}

fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_end() {
        let mut backoff = RetryBackoff::new(4, Duration::from_secs(1));
        for expected in [1.0, 2.0, 4.0] {
            let delay = backoff.next(None).unwrap().as_secs_f64();
            assert!((expected * 0.75..=expected * 1.25).contains(&delay), "{delay}");
        }
        assert_eq!(backoff.next(None), None);
        backoff.reset();
        assert!(backoff.next(None).unwrap().as_secs_f64() < 1.3);
        assert_eq!(RetryBackoff::new(0, Duration::ZERO).next(None), None);
        assert_eq!(RetryBackoff::new(1, Duration::ZERO).next(None), None);
    }

    #[test]
    fn servers_may_choose_within_reason() {
        let mut backoff = RetryBackoff::new(9, Duration::from_secs(1));
        assert_eq!(backoff.next(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(backoff.next(Some(Duration::from_secs(3600))), None);
    }

    #[test]
    fn reads_seconds_and_dates() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(parse_retry_after("12", now), Some(Duration::from_secs(12)));
        let date = "Thu, 01 Jan 2026 00:00:30 GMT";
        assert_eq!(parse_retry_after(date, now), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Thu, 01 Jan 2015 00:00:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
