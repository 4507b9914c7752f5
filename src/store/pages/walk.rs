//! The walk over the trees of one snapshot.

use crate::sorted;
use std::cmp::Ordering;
use std::fs::File;

use super::layout::{Layout, Meta, Node, Tree, BIG, BRANCH, LEAF, OVERFLOW, SUBTREE};
use super::{read_at, Flaw, Mode, Stop, TableSurvey, Visit, FLAWS_NAMED};
use crate::store::record::{MAX_KEY, MAX_VALUE};
use crate::store::tables::MAX_TABLES;

/// Levels of the deepest tree that LMDB can follow.
const DEPTH_MAX: usize = 32;

/// What the walk has found so far.
#[derive(Default)]
pub(super) struct Trunk {
    pub(super) tables: Vec<TableSurvey>,
    pub(super) free: u64,
    pub(super) flaws: Vec<Flaw>,
    pub(super) flaw_count: u64,
}

/// One bit a page.
pub(super) struct Seen {
    bits: Vec<u64>,
    first_unwritten: u64,
    pages: u64,
}

impl Seen {
    pub(super) fn is_new(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok();
        let word = word.and_then(|at| self.bits.get(at));
        word.is_none_or(|word| word & (1 << (page % 64)) == 0)
    }

    /// False: it was there before.
    fn mark(&mut self, page: u64) -> bool {
        let new = self.is_new(page);
        let Ok(at) = usize::try_from(page / 64) else {
            return false;
        };
        if at >= self.bits.len() {
            // Grows with what is there: a damaged number must not cost memory.
            self.bits.resize(at.saturating_add(1), 0);
        }
        if let Some(word) = self.bits.get_mut(at) {
            *word |= 1 << (page % 64);
        }
        new
    }
}

/// What the rows of a tree are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Tables.
    Main,
    /// Lists of free pages.
    Free,
    /// A table's.
    Rows,
}

/// A branch page on the way down.
struct Level {
    page: Vec<u8>,
    offsets: Vec<usize>,
    next: usize,
}

/// The key that the next one must be above, or may at least equal.
#[derive(Default)]
struct Bound {
    key: Vec<u8>,
    /// Equal is too low.
    above: bool,
    any: bool,
}

pub(super) struct Walk<'a> {
    file: &'a File,
    layout: Layout,
    page_size: usize,
    last_page: u64,
    transaction: u64,
    mode: Mode,
    pub(super) seen: Seen,
    pub(super) trunk: Trunk,
    value: Vec<u8>,
    order: Vec<(usize, usize)>,
    /// Pages that are read anew: the heap is asked once.
    spare: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        file: &'a File,
        layout: Layout,
        meta: &Meta,
        written: u64,
        mode: Mode,
    ) -> Walk<'a> {
        let mut seen = Seen {
            bits: Vec::new(),
            first_unwritten: written,
            pages: meta.last_page.saturating_add(1),
        };
        seen.mark(0);
        seen.mark(1);
        Walk {
            file,
            layout,
            page_size: meta.page_size,
            last_page: meta.last_page,
            transaction: meta.transaction,
            mode,
            seen,
            trunk: Trunk::default(),
            value: Vec::new(),
            order: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The main tree and the trees of all tables, or of one.
    pub(super) fn tables(
        &mut self,
        main: &Tree,
        only: Option<&str>,
        visit: &mut Option<Visit<'_>>,
    ) -> Result<(), Stop> {
        let mut found = Vec::new();
        self.tree(main, Kind::Main, &mut |walk, page, node| {
            if node.flags & SUBTREE == 0 {
                return walk.flaw(page, "it has a row outside of all tables");
            }
            let tree = walk.layout.tree_at(node.data, 0);
            let Some(tree) = tree.filter(|_| node.data.len() == walk.layout.tree()) else {
                return walk.flaw(page, "the entry of a table has a wrong length");
            };
            if tree.flags != 0 || found.len() >= MAX_TABLES as usize {
                return walk.flaw(page, "the entry of a table is not a store's");
            }
            found.push((node.key.to_vec(), tree));
            Ok(())
        })?;
        for (name, tree) in found {
            if only.is_some_and(|only| only.as_bytes() != name) {
                continue;
            }
            let mut table = TableSurvey {
                name: String::from_utf8_lossy(&name).into_owned(),
                entries: tree.entries,
                ..TableSurvey::default()
            };
            let walked = self.tree(&tree, Kind::Rows, &mut |walk, page, node| {
                let row = match node.flags & BIG {
                    0 => Some(node.data),
                    _ => walk.long_value(page, node, visit.is_some())?,
                };
                table.rows = table.rows.saturating_add(1);
                let bytes = node.key.len().saturating_add(node.size) as u64;
                table.bytes = table.bytes.saturating_add(bytes);
                match visit {
                    Some(visit) => visit(&name, node.key, row).map_err(Stop::Told),
                    None => Ok(()),
                }
            });
            self.trunk.tables.push(table);
            walked?;
        }
        Ok(())
    }

    /// The tree of free pages: lists of page numbers, descending, the number of
    /// entries first; the key is the transaction that freed them.
    pub(super) fn free_pages(&mut self, free: &Tree) -> Result<(), Stop> {
        self.tree(free, Kind::Free, &mut |walk, page, node| {
            let layout = walk.layout;
            let key = layout.word(node.key, 0);
            let sound = node.key.len() == layout.word;
            if !sound || key.is_none_or(|key| key == 0 || key > walk.transaction) {
                walk.flaw(page, "a list of free pages is of no transaction")?;
            }
            if node.flags & BIG == 0 {
                return walk.free_list(page, node.size, |_, at| layout.word(node.data, at));
            }
            let Some(first) = walk.overflow(page, node)? else {
                return Ok(());
            };
            let start = first
                .saturating_mul(walk.page_size as u64)
                .saturating_add(layout.header() as u64);
            let mut block = Vec::new();
            let mut loaded = usize::MAX;
            walk.free_list(page, node.size, move |walk, at| {
                let number = at / BLOCK;
                if number != loaded {
                    let from = number * BLOCK;
                    block.resize(BLOCK.min(node.size.saturating_sub(from)), 0);
                    read_at(walk.file, &mut block, start.saturating_add(from as u64)).ok()?;
                    loaded = number;
                }
                layout.word(&block, at % BLOCK)
            })
        })
    }

    fn free_list(
        &mut self,
        page: u64,
        size: usize,
        mut word: impl FnMut(&Walk<'_>, usize) -> Option<u64>,
    ) -> Result<(), Stop> {
        let width = self.layout.word;
        let count = word(self, 0).and_then(|count| usize::try_from(count).ok());
        let room = size / width;
        let Some(count) = count.filter(|count| *count < room && size.is_multiple_of(width)) else {
            return self.flaw(page, "a list of free pages is longer than its row");
        };
        let mut above = self.seen.pages;
        for entry in 1..=count {
            let Some(free) = word(self, entry * width) else {
                return self.flaw(page, "a list of free pages cannot be read");
            };
            if free >= above {
                return self.flaw(page, "a list of free pages is not in order");
            }
            above = free;
            if !self.seen.mark(free) {
                let text = format!("page {free} is named as free and is in use");
                self.flaw(page, &text)?;
            }
            self.trunk.free = self.trunk.free.saturating_add(1);
        }
        Ok(())
    }

    /// Every node of the tree's leaves, in order.
    fn tree(
        &mut self,
        tree: &Tree,
        kind: Kind,
        leaf: &mut dyn FnMut(&mut Self, u64, &Node<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Some(root) = tree.root else {
            return Ok(());
        };
        let mut levels: Vec<Level> = Vec::new();
        let mut bound = Bound::default();
        let mut leaf_depth = None;
        let mut next = Some(root);
        loop {
            if let Some(number) = next.take() {
                let Some((page, flags)) = self.page(number)? else {
                    continue;
                };
                let is_leaf = flags == LEAF;
                let offsets = self.offsets(number, &page, is_leaf, kind)?;
                if !is_leaf {
                    if levels.len() + 1 >= DEPTH_MAX {
                        self.flaw(number, "the tree is deeper than any")?;
                        continue;
                    }
                    levels.push(Level {
                        page,
                        offsets,
                        next: 0,
                    });
                    continue;
                }
                if *leaf_depth.get_or_insert(levels.len()) != levels.len() {
                    self.flaw(number, "its rows are at another depth than others")?;
                }
                for at in offsets {
                    let Some(node) = self.layout.node(&page, at, true) else {
                        continue;
                    };
                    self.ascends(number, &mut bound, node.key, kind, true)?;
                    leaf(self, number, &node)?;
                }
                self.spare.push(page);
                continue;
            }
            let Some(level) = levels.last_mut() else {
                return Ok(());
            };
            let Some(at) = level.offsets.get(level.next).copied() else {
                self.spare.extend(levels.pop().map(|level| level.page));
                continue;
            };
            let first = level.next == 0;
            level.next += 1;
            let Some(node) = self.layout.node(&level.page, at, false) else {
                continue;
            };
            next = Some(node.child);
            // The key before the first child is never looked at.
            if !first {
                let number = self.layout.page_number(&level.page).unwrap_or(0);
                self.ascends(number, &mut bound, node.key, kind, false)?;
            }
        }
    }

    /// Checks that `key` is in its order. In a branch it is the lowest that its
    /// child may have.
    fn ascends(
        &mut self,
        page: u64,
        bound: &mut Bound,
        key: &[u8],
        kind: Kind,
        row: bool,
    ) -> Result<(), Stop> {
        if bound.any {
            let order = match kind {
                Kind::Free => self
                    .layout
                    .word(key, 0)
                    .cmp(&self.layout.word(&bound.key, 0)),
                Kind::Main | Kind::Rows => key.cmp(&bound.key),
            };
            let sound = match order {
                Ordering::Greater => true,
                Ordering::Equal => !bound.above,
                Ordering::Less => false,
            };
            if !sound {
                self.flaw(page, "its keys are not in order")?;
            }
        }
        bound.key.clear();
        bound.key.extend_from_slice(key);
        bound.above = row;
        bound.any = true;
        Ok(())
    }

    /// Reads a page of a tree. None: it is flawed, and the walk goes round it.
    fn page(&mut self, number: u64) -> Result<Option<(Vec<u8>, u16)>, Stop> {
        if number < 2 || number >= self.seen.first_unwritten || number > self.last_page {
            self.flaw(number, "it is used and not in the file")?;
            return Ok(None);
        }
        if !self.seen.mark(number) {
            self.flaw(number, "it is reached twice")?;
            return Ok(None);
        }
        let mut page = self.spare.pop().unwrap_or_default();
        page.resize(self.page_size, 0);
        let at = number.saturating_mul(self.page_size as u64);
        if let Err(error) = read_at(self.file, &mut page, at) {
            self.flaw(number, &format!("it cannot be read: {error}"))?;
            return Ok(None);
        }
        let flags = self.layout.page_flags(&page).unwrap_or(0);
        if self.layout.page_number(&page) != Some(number) || ![BRANCH, LEAF].contains(&flags) {
            self.flaw(number, "it is no page of a tree")?;
            return Ok(None);
        }
        Ok(Some((page, flags)))
    }

    /// Where the nodes of a page are, in the order of their keys. The flawed
    /// ones are left out.
    fn offsets(
        &mut self,
        number: u64,
        page: &[u8],
        leaf: bool,
        kind: Kind,
    ) -> Result<Vec<usize>, Stop> {
        let header = self.layout.header();
        let lower = self.layout.lower(page).unwrap_or(0);
        let upper = self.layout.upper(page).unwrap_or(0);
        if lower < header || lower > upper || upper > page.len() || !lower.is_multiple_of(2) {
            self.flaw(number, "its bounds are wrong")?;
            return Ok(Vec::new());
        }
        let count = (lower - header) / 2;
        // Only the tree of free pages is left with a single child for a while.
        if count < if leaf || kind == Kind::Free { 1 } else { 2 } {
            self.flaw(number, "it has too few entries")?;
        }
        let mut offsets = Vec::with_capacity(count);
        self.order.clear();
        for entry in 0..count {
            let at = self.layout.u16(page, header + 2 * entry);
            let at = usize::from(at.unwrap_or(0));
            let node = self.layout.node(page, at, leaf);
            let node =
                node.filter(|node| at >= upper && at.is_multiple_of(2) && self.fits(node, leaf));
            let Some(node) = node else {
                self.flaw(number, &format!("entry {entry} is not inside of it"))?;
                continue;
            };
            if leaf && !flags_of(kind).contains(&node.flags) {
                self.flaw(number, &format!("entry {entry} has unknown flags"))?;
                continue;
            }
            self.order.push((at, node.space));
            offsets.push(at);
        }
        // Nodes lie side by side up to the end of the page: LMDB moves them by
        // their sizes when one of them goes.
        sorted::sort(&mut self.order);
        let mut end = upper;
        for (at, space) in &self.order {
            if *at != end {
                break;
            }
            end += space;
        }
        if end != page.len() {
            self.flaw(number, "its entries overlap or leave gaps")?;
        }
        Ok(offsets)
    }

    /// Whether LMDB could have put the node into a page.
    fn fits(&self, node: &Node<'_>, leaf: bool) -> bool {
        let room = self.layout.node_max(self.page_size);
        let key = node.key.len() <= MAX_KEY && (!leaf || !node.key.is_empty());
        key && node.space <= room.next_multiple_of(2)
    }

    /// The value on overflow pages. None: it is longer than any row's, or cannot
    /// be read.
    fn long_value(
        &mut self,
        page: u64,
        node: &Node<'_>,
        wanted: bool,
    ) -> Result<Option<&[u8]>, Stop> {
        let Some(first) = self.overflow(page, node)? else {
            return Ok(None);
        };
        if !wanted || node.size > MAX_VALUE {
            return Ok(None);
        }
        let start = first
            .saturating_mul(self.page_size as u64)
            .saturating_add(self.layout.header() as u64);
        let mut value = std::mem::take(&mut self.value);
        value.resize(node.size, 0);
        let read = read_at(self.file, &mut value, start);
        self.value = value;
        if let Err(error) = read {
            self.flaw(first, &format!("it cannot be read: {error}"))?;
            return Ok(None);
        }
        Ok(Some(&self.value))
    }

    /// Checks the overflow pages of a node; the number of the first.
    fn overflow(&mut self, page: u64, node: &Node<'_>) -> Result<Option<u64>, Stop> {
        let first = self.layout.word(node.data, 0).unwrap_or(0);
        let mut header = [0; 16];
        let Some(header) = header.get_mut(..self.layout.header()) else {
            return Ok(None);
        };
        let in_file = first >= 2 && first < self.seen.first_unwritten;
        let at = first.saturating_mul(self.page_size as u64);
        if !in_file || read_at(self.file, header, at).is_err() {
            self.flaw(page, "a long value is not in the file")?;
            return Ok(None);
        }
        let sound = self.layout.page_number(header) == Some(first)
            && self.layout.page_flags(header) == Some(OVERFLOW);
        let pages = self.layout.overflow_pages(header).unwrap_or(0);
        let bytes = node.size.saturating_add(self.layout.header()) as u64;
        let needed = bytes.div_ceil(self.page_size as u64);
        let end = first.saturating_add(pages);
        if !sound || pages < needed || end > self.seen.first_unwritten {
            self.flaw(first, "it is no page of a long value, or of a shorter one")?;
            return Ok(None);
        }
        for number in first..end {
            if !self.seen.mark(number) {
                self.flaw(number, "it is reached twice")?;
            }
        }
        Ok(Some(first))
    }

    fn flaw(&mut self, page: u64, text: &str) -> Result<(), Stop> {
        self.trunk.flaw_count = self.trunk.flaw_count.saturating_add(1);
        if self.trunk.flaws.len() < FLAWS_NAMED {
            self.trunk.flaws.push(Flaw {
                page: Some(page),
                text: text.to_owned(),
            });
        }
        match self.mode {
            Mode::Strict => Err(Stop::Flawed),
            Mode::Lenient => Ok(()),
        }
    }
}

/// Bytes of a long list of free pages that are read at once.
const BLOCK: usize = 4096;

/// What the flags of a leaf's node may be. Duplicates are never used.
fn flags_of(kind: Kind) -> &'static [u16] {
    match kind {
        Kind::Main => &[0, SUBTREE, BIG],
        Kind::Free | Kind::Rows => &[0, BIG],
    }
}
