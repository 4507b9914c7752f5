//! Where the fields of LMDB's file stand.
//!
//! ```text
//! page    number:W, unused:16, flags:16, then
//!           branch, leaf: lower:16, upper:16, offsets of nodes:16 each, free, nodes
//!           overflow:     pages:32, data
//!           meta:         the meta page's record
//! node    size:32 (of the data), flags:16, key length:16, key, data
//!           in a branch the first 32 bits and, with 64-bit words, the flags
//!           as the upper 16 are the number of the child
//! tree    unused:32, flags:16, depth:16, branch pages:W, leaf pages:W,
//!         overflow pages:W, entries:W, root:W (all ones: empty)
//! meta    magic:32, version:32, address:W, map size:W, tree of free pages,
//!         main tree, last page:W, transaction:W
//! ```
//!
//! W is the machine's word, 32 or 64 bits; all numbers are in the machine's
//! order. The page size stands in the unused field of the tree of free pages.
//! Pages 0 and 1 are meta pages; transaction N writes page N modulo 2. Rows of
//! the main tree with the flag "sub-database" hold the trees of named tables.

/// What every meta page says first.
const MAGIC: u32 = 0xBEEF_C0DE;
/// The only version of the file's layout.
const VERSION: u32 = 1;

/// A page of a tree that leads to others.
pub(super) const BRANCH: u16 = 0x01;
/// A page of a tree with rows.
pub(super) const LEAF: u16 = 0x02;
/// Pages with one long value.
pub(super) const OVERFLOW: u16 = 0x04;
const META: u16 = 0x08;

/// A node whose data is the number of its overflow pages.
pub(super) const BIG: u16 = 0x01;
/// A node of the main tree whose data is the tree of a table.
pub(super) const SUBTREE: u16 = 0x02;

/// Flags of the tree of free pages: its keys are numbers.
pub(super) const INTEGER_KEYS: u16 = 0x08;

/// Bytes of a node before its key.
pub(super) const NODE: usize = 8;

/// The page sizes that machines have, the usual first.
pub(super) const PAGE_SIZES: [usize; 8] = [4096, 16_384, 8192, 32_768, 2048, 1024, 512, 256];

/// What kind of machine has written a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a word: 4 or 8.
    pub word: usize,
    /// Numbers have their low byte first.
    pub little: bool,
}

impl Layout {
    /// This machine's.
    pub const HERE: Layout = Layout {
        word: std::mem::size_of::<usize>(),
        little: cfg!(target_endian = "little"),
    };

    const ALL: [Layout; 4] = [
        Layout {
            word: 8,
            little: true,
        },
        Layout {
            word: 4,
            little: true,
        },
        Layout {
            word: 8,
            little: false,
        },
        Layout {
            word: 4,
            little: false,
        },
    ];

    /// Bytes of a page before its contents.
    pub(super) const fn header(self) -> usize {
        self.word + 8
    }

    /// Bytes of a tree's record.
    pub(super) const fn tree(self) -> usize {
        8 + 5 * self.word
    }

    /// Bytes at the start of a page that hold its meta record.
    pub(super) const fn meta(self) -> usize {
        self.header() + 8 + 2 * self.word + 2 * self.tree() + 2 * self.word
    }

    /// The longest node that shares its page with others.
    pub(super) const fn node_max(self, page_size: usize) -> usize {
        (((page_size - self.header()) / 2) & !1) - 2
    }

    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.little {
            u16::from_le_bytes(*raw)
        } else {
            u16::from_be_bytes(*raw)
        })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.little {
            u32::from_le_bytes(*raw)
        } else {
            u32::from_be_bytes(*raw)
        })
    }

    /// A word, whatever its size here.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.word == 4 {
            return self.u32(bytes, at).map(u64::from);
        }
        let raw = bytes.get(at..)?.first_chunk::<8>()?;
        Some(if self.little {
            u64::from_le_bytes(*raw)
        } else {
            u64::from_be_bytes(*raw)
        })
    }

    fn all_ones(self) -> u64 {
        if self.word == 4 {
            u64::from(u32::MAX)
        } else {
            u64::MAX
        }
    }

    pub(super) fn page_number(self, page: &[u8]) -> Option<u64> {
        self.word(page, 0)
    }

    pub(super) fn page_flags(self, page: &[u8]) -> Option<u16> {
        self.u16(page, self.word + 2)
    }

    pub(super) fn lower(self, page: &[u8]) -> Option<usize> {
        self.u16(page, self.word + 4).map(usize::from)
    }

    pub(super) fn upper(self, page: &[u8]) -> Option<usize> {
        self.u16(page, self.word + 6).map(usize::from)
    }

    pub(super) fn overflow_pages(self, page: &[u8]) -> Option<u64> {
        self.u32(page, self.word + 4).map(u64::from)
    }

    pub(super) fn tree_at(self, bytes: &[u8], at: usize) -> Option<Tree> {
        let root = self.word(bytes, at + 8 + 4 * self.word)?;
        Some(Tree {
            pad: self.u32(bytes, at)?,
            flags: self.u16(bytes, at + 4)?,
            entries: self.word(bytes, at + 8 + 3 * self.word)?,
            root: (root != self.all_ones()).then_some(root),
        })
    }

    /// The meta record at the start of `page`, if this is one of this layout.
    pub(super) fn meta_of(self, page: &[u8]) -> Option<Meta> {
        let at = self.header();
        if self.page_flags(page)? & META == 0
            || self.u32(page, at)? != MAGIC
            || self.u32(page, at + 4)? != VERSION
        {
            return None;
        }
        let trees = at + 8 + 2 * self.word;
        let free = self.tree_at(page, trees)?;
        Some(Meta {
            page_size: PAGE_SIZES
                .into_iter()
                .find(|size| u32::try_from(*size) == Ok(free.pad))?,
            free,
            main: self.tree_at(page, trees + self.tree())?,
            last_page: self.word(page, trees + 2 * self.tree())?,
            transaction: self.word(page, trees + 2 * self.tree() + self.word)?,
        })
    }

    /// What kind of machine has written the meta page that `page` begins with.
    pub(super) fn guess(page: &[u8]) -> Option<(Layout, Meta)> {
        Layout::ALL
            .into_iter()
            .find_map(|layout| Some((layout, layout.meta_of(page)?)))
    }
}

/// A tree's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// The page size in the first tree of a meta page, else unused.
    pub(super) pad: u32,
    pub(super) flags: u16,
    pub(super) entries: u64,
    /// None: it is empty.
    pub(super) root: Option<u64>,
}

/// A meta page's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_size: usize,
    pub(super) free: Tree,
    pub(super) main: Tree,
    pub(super) last_page: u64,
    pub(super) transaction: u64,
}

/// A node of a branch or leaf page.
pub(super) struct Node<'p> {
    /// Length of the data, wherever it is.
    pub(super) size: usize,
    pub(super) flags: u16,
    pub(super) key: &'p [u8],
    /// What stands behind the key: the data or the number of its pages.
    pub(super) data: &'p [u8],
    /// Number of the child, in a branch.
    pub(super) child: u64,
    /// Bytes that it takes in the page.
    pub(super) space: usize,
}

impl Layout {
    /// The node at `at`; None if it reaches beyond the page.
    pub(super) fn node(self, page: &[u8], at: usize, leaf: bool) -> Option<Node<'_>> {
        let size = self.u32(page, at)?;
        let flags = self.u16(page, at + 4)?;
        let key_len = usize::from(self.u16(page, at + 6)?);
        let key = page.get(at + NODE..)?.get(..key_len)?;
        let stored = match (leaf, flags & BIG != 0) {
            (false, _) => 0,
            (true, true) => self.word,
            (true, false) => usize::try_from(size).ok()?,
        };
        let data = page.get(at + NODE + key_len..)?.get(..stored)?;
        let upper = if self.word == 8 { u64::from(flags) } else { 0 };
        Some(Node {
            size: usize::try_from(size).ok()?,
            flags,
            key,
            data,
            child: u64::from(size) | upper << 32,
            space: (NODE + key_len + stored).next_multiple_of(2),
        })
    }
}
