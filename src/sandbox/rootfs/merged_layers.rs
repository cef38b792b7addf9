//! More layers than overlayfs takes: those at the bottom are merged by overlays of their own.
//!
//! Such an overlay is read-only and mounted on its uppermost layer, for as long as it takes to make the overlay above it,
//! which keeps a private copy. An overlay of overlays is as deep as the kernel allows (`FILESYSTEM_MAX_STACK_DEPTH`), so a
//! data directory on an overlay can have no more layers than overlayfs takes.

use std::io;
use std::path::{Path, PathBuf};

/// Read-only layers of which the lowest may be merged.
pub(super) struct MergedLayers {
    /// Uppermost first, no more than the limit. Relative to the working directory.
    pub(super) lower: Vec<PathBuf>,
    /// Where merged ones are mounted.
    mounted: Vec<PathBuf>,
}

impl MergedLayers {
    /// Takes `layers`, uppermost first, and merges so many of them that `limit` are left. `merge` mounts a read-only
    /// overlay of at least two layers on a directory.
    pub(super) fn new(
        layers: &[PathBuf],
        limit: usize,
        merge: impl Fn(&[PathBuf], &Path) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (single, rest) = layers.split_at(single_layers(layers.len(), limit)?);
        let mut merged = Self { lower: single.to_vec(), mounted: Vec::new() };
        for group in rest.chunks(limit) {
            let Some(uppermost) = group.first() else { continue };
            if group.len() > 1 {
                merge(group, uppermost)?;
                merged.mounted.push(uppermost.clone());
            }
            merged.lower.push(uppermost.clone());
        }
        Ok(merged)
    }
}

impl Drop for MergedLayers {
    /// The next overlay with one of these layers must find the layer itself.
    fn drop(&mut self) {
        for path in self.mounted.drain(..) {
            // The mount namespace ends with the container in any case.
            let _ = dhow_sys::mount::detach(&path);
        }
    }
}

/// How many of `count` layers stay as they are, so that they and groups of `limit` are `limit` together.
fn single_layers(count: usize, limit: usize) -> io::Result<usize> {
    let groups = count.saturating_sub(limit).div_ceil(limit - 1);
    let single = limit.checked_sub(groups).ok_or(io::Error::from(rustix::io::Errno::TOOBIG))?;
    Ok(single.min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_layers_as_can_be_are_left_as_they_are() {
        for (count, limit, single) in
            [(1, 500, 1), (500, 500, 500), (501, 500, 499), (999, 500, 499), (1000, 500, 498), (9, 3, 0)]
        {
            assert_eq!(single_layers(count, limit).unwrap(), single, "{count}");
            let groups = (count - single).div_ceil(limit);
            assert!(single + groups <= limit, "{count}");
        }
        assert!(single_layers(10, 3).is_err());
    }

    #[test]
    fn the_lowest_layers_are_merged_in_order() {
        let layers: Vec<PathBuf> = (0..6).map(|n| PathBuf::from(n.to_string())).collect();
        let seen = std::cell::RefCell::new(Vec::new());
        let merged = MergedLayers::new(&layers, 3, |group, on| {
            seen.borrow_mut().push((group.to_vec(), on.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!(merged.lower, [&layers[0], &layers[1], &layers[4]].map(Clone::clone));
        assert_eq!(
            *seen.borrow(),
            [(layers[1..4].to_vec(), layers[1].clone()), (layers[4..].to_vec(), layers[4].clone())]
        );
    }
}
