//! Each rule of the walk, broken by hand: chance rarely breaks just one.

use super::pages::{here, quick_dir, store_file};
use super::*;
use std::fs;

const PAGE: usize = 4096;
/// Bytes of a page's header with 64-bit words.
const HEADER: usize = 16;

/// A file with the fields that are to be broken.
struct Broken(Vec<u8>);

impl Broken {
    fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes([self.0[at], self.0[at + 1]]).into()
    }

    fn put16(&mut self, at: usize, value: usize) {
        let value = u16::try_from(value).unwrap();
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Where the first page with these flags and so many entries begins.
    fn page(&self, flags: usize, entries: usize) -> usize {
        (2..self.0.len() / PAGE)
            .map(|page| page * PAGE)
            .find(|at| self.u16(at + 10) == flags && self.u16(at + 12) >= HEADER + 2 * entries)
            .unwrap()
    }

    /// Where a node of the page begins.
    fn node(&self, page: usize, entry: usize) -> usize {
        page + self.u16(page + HEADER + 2 * entry)
    }

    fn swap_entries(&mut self, page: usize) {
        let (one, two) = (page + HEADER + 2, page + HEADER + 4);
        let (first, second) = (self.u16(one), self.u16(two));
        self.put16(one, second);
        self.put16(two, first);
    }

    /// Where the tree records of the newest meta page begin.
    fn trees(&self) -> usize {
        PAGE + HEADER + 24
    }
}

type Break = fn(&mut Broken);

const LEAF: usize = 2;
const BRANCH: usize = 1;
const OVERFLOW: usize = 4;

#[test]
fn no_rule_of_the_walk_is_forgotten() {
    let rules: [(&str, Break); 17] = [
        ("overlap or leave gaps", |file| {
            let page = file.page(LEAF, 20);
            let node = file.node(page, 1);
            file.put16(node, file.u16(node) + 2);
        }),
        ("is not inside of it", |file| {
            let page = file.page(LEAF, 20);
            let node = file.node(page, 3);
            file.put16(node + 6, 500 + PAGE);
        }),
        ("reached twice", |file| {
            let page = file.page(BRANCH, 3);
            let (one, two) = (file.node(page, 1), file.node(page, 2));
            file.put16(two, file.u16(one));
        }),
        // A tree that leads back into itself would never end.
        ("reached twice", |file| {
            let page = file.page(BRANCH, 3);
            let node = file.node(page, 0);
            file.put16(node, page / PAGE);
        }),
        ("not in order", |file| {
            let page = file.page(LEAF, 20);
            file.swap_entries(page);
        }),
        ("not in order", |file| {
            let page = file.page(BRANCH, 3);
            file.swap_entries(page);
        }),
        ("bounds are wrong", |file| {
            let page = file.page(LEAF, 20);
            file.put16(page + 14, HEADER);
        }),
        ("too few entries", |file| {
            let page = file.page(BRANCH, 3);
            file.put16(page + 12, HEADER + 2);
        }),
        ("unknown flags", |file| {
            let page = file.page(LEAF, 20);
            let node = file.node(page, 5);
            file.put16(node + 4, 4);
        }),
        ("no page of a tree", |file| {
            let page = file.page(LEAF, 20);
            file.put64(page, 3 + file.u64(page));
        }),
        ("or of a shorter one", |file| {
            let page = (2..file.0.len() / PAGE)
                .map(|page| page * PAGE)
                .find(|at| file.u16(at + 10) == OVERFLOW && file.u16(at + 12) > 1);
            let page = page.unwrap();
            file.put16(page + 12, file.u16(page + 12) - 1);
        }),
        ("named as free and is in use", |file| {
            // The list is the only node of its tree's only page.
            let root = file.u64(file.trees() + 40);
            let node = file.node(root as usize * PAGE, 0);
            // Count, and three numbers, the lowest last.
            file.put64(node + 8 + 8 + 3 * 8, 2);
        }),
        ("longer than its row", |file| {
            let root = file.u64(file.trees() + 40);
            let node = file.node(root as usize * PAGE, 0);
            file.put64(node + 8 + 8, 4);
        }),
        ("used and not in the file", |file| {
            let root = file.trees() + 48 + 40;
            file.put64(root, 1 << 40);
        }),
        ("should have", |file| {
            let last = file.trees() + 2 * 48;
            file.put64(last, 1 << 33);
        }),
        ("it is missing", |file| {
            let last = file.trees() + 2 * 48;
            file.put64(last, 9 + file.u64(last));
        }),
        ("do not follow each other", |file| {
            let transaction = file.trees() + 2 * 48 + 8;
            file.put64(transaction, 1_003);
        }),
    ];
    let whole = store_file(here(), 3_000);
    for (words, broken) in rules {
        let dir = quick_dir();
        let data = dir.path().join("data.mdb");
        let mut file = Broken(whole.clone());
        broken(&mut file);
        assert!(file.0 != whole, "{words}");
        fs::write(&data, &file.0).unwrap();
        let error = Store::open(dir.path(), StoreOptions::default()).err();
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(words), "{words}: {said}");
        // Whatever it was: what can be read is carried over.
        let (store, recovery) =
            Store::open_or_recover(dir.path(), StoreOptions::default()).unwrap();
        assert_eq!(fs::read(recovery.unwrap().file).unwrap(), file.0);
        block_on(store.put(&row(1))).unwrap();
        assert_eq!(read(&store, 1), Some(row(1)), "{words}");
    }
}
