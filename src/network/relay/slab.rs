//! A slab with generations: a key is not reused soon, so a late event cannot hit another value.

/// Bits of index and generation in a [`SlabKey`]; with the kind they fit into an event's 64 bits.
const INDEX_BITS: u32 = 32;
const GENERATION_BITS: u32 = 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlabKey {
    index: u32,
    generation: u32,
}

impl SlabKey {
    /// As a number of 60 bits.
    pub(super) fn number(self) -> u64 {
        u64::from(self.generation) << INDEX_BITS | u64::from(self.index)
    }

    pub(super) fn from_number(number: u64) -> Self {
        let low = |bits: u64, count: u32| u32::try_from(bits & ((1 << count) - 1)).unwrap_or(0);
        Self { index: low(number, INDEX_BITS), generation: low(number >> INDEX_BITS, GENERATION_BITS) }
    }
}

/// Values in numbered slots; each slot has the generation of its value.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    generation: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), generation: 0 }
    }

    /// Stores a value; returns it if all indices are in use.
    pub(super) fn insert(&mut self, value: T) -> Result<SlabKey, T> {
        self.generation = (self.generation + 1) & ((1 << GENERATION_BITS) - 1);
        let generation = self.generation;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            *slot = (generation, Some(value));
            return Ok(SlabKey { index, generation });
        }
        let Ok(index) = u32::try_from(self.slots.len()) else { return Err(value) };
        self.slots.push((generation, Some(value)));
        Ok(SlabKey { index, generation })
    }

    pub(super) fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(key.index as usize)?;
        if *generation == key.generation { value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: SlabKey) -> Option<T> {
        let (generation, value) = self.slots.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let value = value.take()?;
        self.free.push(key.index);
        if self.free.len() == self.slots.len() {
            // A burst is over: free its memory. The generation goes on, so old keys stay dead.
            *self = Self { generation: self.generation, ..Self::new() };
        }
        Some(value)
    }

    /// The keys of the values that `filter` accepts.
    pub(super) fn keys(&self, filter: impl Fn(&T) -> bool) -> Vec<SlabKey> {
        let slots = self.slots.iter().zip(0_u32..);
        let keep = |((generation, value), index): (&(u32, Option<T>), u32)| {
            value.as_ref().filter(|value| filter(value))?;
            Some(SlabKey { index, generation: *generation })
        };
        slots.filter_map(keep).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_value() {
        let mut slab = Slab::new();
        let one = slab.insert("one").unwrap();
        assert_eq!(SlabKey::from_number(one.number()), one);
        assert_eq!(slab.remove(one), Some("one"));
        let two = slab.insert("two").unwrap();
        assert_eq!(slab.remove(one), None);
        assert_eq!(slab.get_mut(one), None);
        assert_eq!(slab.get_mut(two), Some(&mut "two"));
        assert_eq!(slab.keys(|value| *value == "two"), [two]);
    }
}
