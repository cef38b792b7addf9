//! Runs work on several items at a time: layers being pulled, pushed or unpacked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Error, Result};

/// Runs `work` for all items, `limit` at a time, beginning with the first. Returns the results in item order.
///
/// After the first failure, which is returned too, `on_failure` is called and no further item is begun; items
/// that are being worked on still finish.
pub(crate) fn run_concurrently<T: Sync, R: Send>(
    limit: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
    on_failure: impl Fn() + Sync,
) -> (Vec<R>, Option<Error>) {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let failure = Mutex::new(None);
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item) {
                Ok(result) => results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result)),
                Err(error) => {
                    // Record the error before cancelling: the others then fail only because of that.
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                    on_failure();
                }
            }
        }
    };
    std::thread::scope(|scope| (0..limit.min(items.len())).for_each(|_| drop(scope.spawn(worker))));
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Items finish in any order.
    results.sort_by_key(|(at, _)| *at);
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    (results.into_iter().map(|(_, result)| result).collect(), failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_stops_at_the_first_failure() {
        let (done, failed) = run_concurrently(3, &[1, 2, 3, 4, 5], |item| Ok(item * 2), || {});
        assert_eq!(done, [2, 4, 6, 8, 10]);
        assert!(failed.is_none());
        let stopped = AtomicBool::new(false);
        let work = |item: &u32| if *item == 2 { Err(anyhow::anyhow!("two")) } else { Ok(*item) };
        let (done, failed) = run_concurrently(1, &[1, 2, 3], work, || stopped.store(true, Ordering::Relaxed));
        assert_eq!((done, failed.unwrap().to_string().as_str()), (vec![1], "two"));
        assert!(stopped.into_inner());
    }
}
