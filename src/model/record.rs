//! Common to the records that the store keeps as JSON.

/// Whether a field can be left out of a record, since reading fills it in. Records are read more often than they are
/// written: a specification with few settings is a quarter as long without the others, and is parsed as much faster.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
