//! Limits on the number of connections: in total, and per container.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dhow_sys::rlimit::RlimitResource;

/// Maximum number of connections per helper, whatever the limit on descriptors.
const MAX_CONNECTIONS: usize = 131_072;
/// Descriptors reserved for everything else.
const RESERVED_FDS: usize = 256;

/// A counter with a maximum.
#[derive(Debug)]
pub(crate) struct ConnectionQuota {
    used: AtomicUsize,
    limit: usize,
}

/// One unit of one or more quotas; returned when dropped.
#[derive(Debug)]
pub(crate) struct QuotaPermit(Vec<Arc<ConnectionQuota>>);

impl ConnectionQuota {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        let increment = |used| (used < self.limit).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment).is_ok()
    }

    fn release(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

impl QuotaPermit {
    /// Takes one unit of each quota, or none.
    pub(crate) fn acquire(quotas: &[&Arc<ConnectionQuota>]) -> Option<Self> {
        let mut taken = Self(Vec::with_capacity(quotas.len()));
        for quota in quotas {
            if !quota.take() {
                // Dropping `taken` returns what was taken before.
                return None;
            }
            taken.0.push(Arc::clone(quota));
        }
        Some(taken)
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        self.0.iter().for_each(|quota| quota.release());
    }
}

/// Counts the users of a shared limit: the number of clones, without the original.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShareCount(Arc<()>);

impl ShareCount {
    /// At least 1.
    pub(crate) fn count(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1).max(1)
    }
}

/// How many connections the limit on descriptors allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub connections: usize,
    pub(crate) per_container: usize,
    /// Connections being made, in total.
    pub waiting: usize,
    /// Connections being made, per container.
    pub(crate) waiting_per_container: usize,
}

impl ConnectionLimits {
    /// Raises the soft limit on descriptors to the hard one and divides it up.
    pub(super) fn raise() -> Self {
        let files = RlimitResource::by_name("nofile").and_then(|files| {
            let (soft, hard) = files.get().ok()?;
            Some(if files.set(hard, hard).is_ok() { hard } else { soft })
        });
        Self::within(files.and_then(|files| usize::try_from(files).ok()).unwrap_or(1024))
    }

    /// Divides up `files` descriptors. A connection has two, plus pipes while bytes are held in them.
    fn within(files: usize) -> Self {
        // Two descriptors each out of every five; the fifth is for pipes.
        let connections = (files.saturating_sub(RESERVED_FDS) * 2 / 5).clamp(16, MAX_CONNECTIONS);
        Self {
            connections,
            per_container: connections * 3 / 4,
            waiting: (connections / 2).min(16_384),
            waiting_per_container: (connections / 4).min(4096),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_more_than_there_is() {
        let (all, own) = (ConnectionQuota::new(3), ConnectionQuota::new(2));
        let taken: Vec<_> = (0..3).map_while(|_| QuotaPermit::acquire(&[&all, &own])).collect();
        assert_eq!((taken.len(), all.used(), own.used()), (2, 2, 2));
        drop(taken);
        assert_eq!((all.used(), own.used()), (0, 0));
        let first = ShareCount::default();
        let (one, two) = (first.clone(), first.clone());
        assert_eq!((first.count(), one.count()), (2, 2));
        drop(two);
        assert_eq!(one.count(), 1);
    }

    #[test]
    fn descriptors_are_shared_out() {
        let few = ConnectionLimits::within(1024);
        assert!(few.connections * 2 + RESERVED_FDS <= 1024 && few.waiting_per_container >= 64);
        assert_eq!(ConnectionLimits::within(usize::MAX / 4).connections, MAX_CONNECTIONS);
    }
}
