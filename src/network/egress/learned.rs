//! Addresses that stand for allowed names, learned from the answers of the network's own DNS.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses remembered per network.
const MAX_ADDRESSES: usize = 8192;
/// How long an address stays valid after its TTL: programs keep addresses longer than they should.
const GRACE: Duration = Duration::from_secs(300);
/// TTLs are capped at this.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);

/// For each address, the indices of the rules that allow it, each with its expiry.
#[derive(Debug, Default)]
pub(crate) struct LearnedAddresses(HashMap<IpAddr, Vec<(usize, Instant)>>);

impl LearnedAddresses {
    /// Allows `address` by the rule at index `rule`, for `seconds` from `now` and some minutes longer.
    pub(crate) fn learn(&mut self, address: IpAddr, rule: usize, seconds: u32, now: Instant) {
        let until = now + Duration::from_secs(seconds.into()).min(MAX_TTL) + GRACE;
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            self.make_room(now);
        }
        let rules = self.0.entry(address).or_default();
        match rules.iter_mut().find(|(known, _)| *known == rule) {
            // A later answer with a shorter TTL does not cut an earlier one short.
            Some((_, known)) => *known = until.max(*known),
            None => rules.push((rule, until)),
        }
    }

    /// The indices of the rules that allow `address` at `now`.
    pub(crate) fn rules(&self, address: IpAddr, now: Instant) -> impl Iterator<Item = usize> {
        let rules = self.0.get(&address).into_iter().flatten();
        rules.filter(move |(_, until)| *until > now).map(|(rule, _)| *rule)
    }

    /// Drops what has expired. If everything is valid, drops the half that expires first, so that this is
    /// rare.
    fn make_room(&mut self, now: Instant) {
        let last = |rules: &Vec<(usize, Instant)>| rules.iter().map(|(_, until)| *until).max().unwrap_or(now);
        self.0.retain(|_, rules| last(rules) > now);
        if self.0.len() >= MAX_ADDRESSES {
            let mut ends: Vec<Instant> = self.0.values().map(last).collect();
            ends.sort_unstable();
            let middle = ends.get(MAX_ADDRESSES / 2).copied().unwrap_or(now);
            let mut room = MAX_ADDRESSES / 2;
            self.0.retain(|_, rules| {
                // Counted as well, because several may expire at the same time.
                let evicted = room > 0 && last(rules) <= middle;
                room -= usize::from(evicted);
                !evicted
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_expire_and_their_number_is_bounded() {
        let (mut learned, now) = (LearnedAddresses::default(), Instant::now());
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let knows =
            |learned: &LearnedAddresses, number, now| learned.rules(address(number), now).collect::<Vec<_>>();
        learned.learn(address(1), 3, 60, now);
        learned.learn(address(1), 4, u32::MAX, now);
        learned.learn(address(1), 3, 30, now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(knows(&learned, 1, after(359)), [3, 4]);
        assert_eq!(knows(&learned, 1, after(361)), [4]);
        assert!(knows(&learned, 1, after(24 * 3600 + 301)).is_empty());
        assert!(knows(&learned, 2, now).is_empty());
        for number in 10..30_000 {
            learned.learn(address(number), 0, 60, now);
            assert!(learned.0.len() <= MAX_ADDRESSES);
            assert_eq!(knows(&learned, number, now), [0]);
        }
        // The one with the longest TTL is still known.
        assert_eq!(knows(&learned, 1, now), [3, 4]);
    }
}
