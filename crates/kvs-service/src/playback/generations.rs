//! A bounded memory of what can be made again.

use std::collections::HashMap;
use std::hash::Hash;

/// What was not asked for while as much as there is room for came in, goes.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    young: HashMap<K, Kept<V>>,
    old: HashMap<K, Kept<V>>,
    /// What the young ones cost, and may.
    cost: usize,
    room: usize,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    cost: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Generations<K, V> {
    /// Holds twice so much at the most, and one thing beyond.
    pub(crate) fn new(room: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), cost: 0, room }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(kept) = self.young.get(key) {
            return Some(kept.value.clone());
        }
        let (key, kept) = self.old.remove_entry(key)?;
        let value = kept.value.clone();
        self.insert(key, kept.value, kept.cost);
        Some(value)
    }

    /// What is kept, or what is made now.
    pub(crate) fn get_or_insert(&mut self, key: &K, cost: usize, make: impl FnOnce() -> V) -> V {
        if let Some(value) = self.get(key) {
            return value;
        }
        let value = make();
        self.insert(key.clone(), value.clone(), cost);
        value
    }

    /// Keeps a value, or says what one that is kept costs by now.
    pub(crate) fn insert(&mut self, key: K, value: V, cost: usize) {
        self.old.remove(&key);
        let before = self.young.insert(key, Kept { value, cost });
        let freed = before.map_or(0, |before| before.cost);
        self.cost = self.cost.saturating_sub(freed).saturating_add(cost);
        if self.cost > self.room {
            self.old = std::mem::take(&mut self.young);
            self.cost = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut kept = Generations::new(100);
        kept.insert("wanted", 1, 10);
        for other in 0..1_000 {
            kept.insert(Box::leak(other.to_string().into_boxed_str()), other, 10);
            assert_eq!(kept.get(&"wanted"), Some(1), "{other}");
            assert!(kept.young.len() + kept.old.len() <= 22, "{other}");
        }
        assert_eq!(kept.get(&"3"), None);
        assert_eq!(kept.get(&"999"), Some(999));
    }

    #[test]
    fn a_value_that_grows_is_counted_as_it_is() {
        let mut kept = Generations::new(100);
        for cost in [10, 50, 90] {
            kept.insert(1, cost, cost);
        }
        assert_eq!((kept.cost, kept.get(&1)), (90, Some(90)));
        kept.insert(2, 0, 20);
        assert_eq!((kept.cost, kept.old.len(), kept.get(&1)), (0, 2, Some(90)));
    }
}
