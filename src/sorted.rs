//! Order at the price of few bytes.
//!
//! The standard library's sorts and its tree map are made anew for every type
//! that they are used with: 7 KB of code each time, and the lists here are
//! short. [`sort_by`] is one heap sort over places for all types, [`Map`] a list
//! in the order of its keys. [`object`] is JSON's.

use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Borrow;
use std::cmp::Ordering;

/// Sorts by `compare`; equal ones stay in their order.
pub fn sort_by<T>(list: &mut [T], compare: impl FnMut(&T, &T) -> Ordering) {
    arrange(&mut Items { list, compare });
}

/// Sorts in the order of the type.
pub fn sort<T: Ord>(list: &mut [T]) {
    sort_by(list, T::cmp);
}

/// [`sort`], and of equal ones only the first stays.
pub fn sort_and_dedup<T: Ord>(list: &mut Vec<T>) {
    sort(list);
    list.dedup();
}

/// A JSON object of these members, which are taken. What `serde_json::json!` makes of
/// each is 100 bytes of code more.
pub fn object(members: &mut [(&str, Value)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in members {
        object.insert((*name).to_owned(), value.take());
    }
    Value::Object(object)
}

/// What [`arrange`] needs to know of a list.
trait Places {
    fn len(&self) -> usize;
    fn compare(&mut self, a: usize, b: usize) -> Ordering;
    fn swap(&mut self, a: usize, b: usize);
}

struct Items<'a, T, F> {
    list: &'a mut [T],
    compare: F,
}

impl<T, F: FnMut(&T, &T) -> Ordering> Places for Items<'_, T, F> {
    fn len(&self) -> usize {
        self.list.len()
    }

    fn compare(&mut self, a: usize, b: usize) -> Ordering {
        match (self.list.get(a), self.list.get(b)) {
            (Some(a), Some(b)) => (self.compare)(a, b),
            _ => Ordering::Equal,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.list.swap(a, b);
    }
}

/// Finds out which item belongs to which place, then moves each once.
#[allow(clippy::indexing_slicing)] // places below the length, all of them our own
fn arrange(items: &mut dyn Places) {
    let len = items.len();
    let mut order: Vec<usize> = (0..len).collect();
    for root in (0..len / 2).rev() {
        sink(&mut order, root, items);
    }
    for end in (1..len).rev() {
        order.swap(0, end);
        sink(&mut order[..end], 0, items);
    }
    for start in 0..len {
        let mut place = start;
        while order[place] != start {
            let from = std::mem::replace(&mut order[place], place);
            items.swap(place, from);
            place = from;
        }
        order[place] = place;
    }
}

/// Lets what stands at `root` of a heap sink to where it belongs.
#[allow(clippy::indexing_slicing)] // as above
fn sink(heap: &mut [usize], mut root: usize, items: &mut dyn Places) {
    // The place decides between equal ones: that keeps their order.
    let mut before = |a: usize, b: usize| items.compare(a, b).then(a.cmp(&b)).is_lt();
    loop {
        let mut child = 2 * root + 1;
        if child >= heap.len() {
            return;
        }
        if child + 1 < heap.len() && before(heap[child], heap[child + 1]) {
            child += 1;
        }
        if !before(heap[root], heap[child]) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

/// Values by key, in the order of the keys. Looking up takes log n steps; what is
/// put in or taken out moves all behind it, so it is for hundreds, or for keys
/// that grow, or for what seldom changes. It shrinks with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<K, V>(Vec<(K, V)>);

impl<K, V> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map::new()
    }
}

impl<K, V> Map<K, V> {
    /// One without anything in it.
    #[must_use]
    pub const fn new() -> Map<K, V> {
        Map(Vec::new())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values.
    pub fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.0.iter()
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes those with the smallest keys out, at most `most`.
    pub fn take_first(&mut self, most: usize) -> Vec<(K, V)> {
        let rest = self.0.split_off(most.min(self.0.len()));
        std::mem::replace(&mut self.0, rest)
    }

    /// Keeps those alone of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| keep(key, value));
    }
}

impl<K: Ord, V> Map<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(k, _)| k.borrow().cmp(key))
    }

    /// What stands under `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// What stands under `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    /// Whether anything stands under `key`.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Puts a value in; what stood there before comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => {
                let old = self.0.get_mut(place)?;
                Some(std::mem::replace(&mut old.1, value))
            }
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }

    /// What stands under `key`; `make` fills the place if it is empty.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = self.find(&key).unwrap_or_else(|place| {
            self.0.insert(place, (key, make()));
            place
        });
        #[allow(clippy::indexing_slicing)] // found or filled a line above
        &mut self.0[place].1
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        let (_, value) = self.0.remove(place);
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.capacity() / 2);
        }
        Some(value)
    }
}

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = &'a (K, V);
    type IntoIter = std::slice::Iter<'a, (K, V)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Of several values with one key the last stays.
impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Map<K, V> {
        let mut map = Map::new();
        for (key, value) in items {
            map.insert(key, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equal_items_keep_their_order_and_none_is_lost(keys in proptest::collection::vec(0u8..40, 0..300)) {
            let mut list: Vec<(u8, usize)> = keys.iter().copied().zip(0..).collect();
            let mut right = list.clone();
            right.sort_by_key(|(key, _)| *key);
            sort_by(&mut list, |a, b| a.0.cmp(&b.0));
            prop_assert_eq!(list, right);
        }

        #[test]
        fn a_map_holds_what_a_tree_would_hold(steps in proptest::collection::vec((any::<bool>(), 0u8..50, any::<u16>()), 0..400)) {
            let mut map = Map::new();
            let mut tree = BTreeMap::new();
            for (put, key, value) in steps {
                if put {
                    prop_assert_eq!(map.insert(key, value), tree.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), tree.remove(&key));
                }
                prop_assert_eq!(map.get(&key), tree.get(&key));
                prop_assert_eq!(map.len(), tree.len());
            }
            prop_assert!(map.iter().map(|(k, v)| (k, v)).eq(tree.iter()));
        }
    }

    #[test]
    fn a_map_that_was_full_once_gives_its_memory_back() {
        let mut map: Map<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        map.retain(|key, _| *key >= 9_990);
        assert_eq!(*map.get_or_insert_with(9_990, || 1), 9_990);
        assert_eq!(*map.get_or_insert_with(3, || 1), 1);
        for n in 9_990..10_000 {
            map.remove(&n).unwrap();
        }
        assert!(map.0.capacity() < 100, "{}", map.0.capacity());
    }

    #[test]
    fn equal_neighbours_are_told_once() {
        let mut list = vec![3, 1, 3, 2, 1];
        sort_and_dedup(&mut list);
        assert_eq!(list, [1, 2, 3]);
    }
}
