//! Writes LMDB files as another kind of machine would: other words, other byte
//! order, other pages. Made from what mdb.c says of its layout, apart from the
//! program's own reader, so that one checks the other.
#![allow(dead_code)]

/// Key and value.
pub type Row = (Vec<u8>, Vec<u8>);

#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Bytes of a word: 4 or 8.
    pub word: usize,
    pub little: bool,
    pub page_size: usize,
}

/// A 32-bit ARM or MIPS router.
pub const BITS_32: Machine = Machine {
    word: 4,
    little: true,
    page_size: 4096,
};

const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
const BIGDATA: u16 = 1;
const SUBDATA: u16 = 2;

struct Tree {
    flags: u16,
    depth: u16,
    branch: u64,
    leaf: u64,
    overflow: u64,
    entries: u64,
    root: Option<u64>,
}

struct Node {
    key: Vec<u8>,
    data: Vec<u8>,
    size: u32,
    flags: u16,
}

impl Node {
    fn space(&self) -> usize {
        (8 + self.key.len() + self.data.len()).next_multiple_of(2)
    }
}

impl Machine {
    fn number(self, bytes: usize, value: u64) -> Vec<u8> {
        if self.little {
            value.to_le_bytes()[..bytes].to_vec()
        } else {
            value.to_be_bytes()[8 - bytes..].to_vec()
        }
    }

    fn word(self, value: u64) -> Vec<u8> {
        self.number(self.word, value)
    }

    fn none(self) -> u64 {
        u64::MAX >> (64 - 8 * self.word)
    }

    fn header(self) -> usize {
        self.word + 8
    }

    fn node_max(self) -> usize {
        (((self.page_size - self.header()) / 2) & !1) - 2
    }

    fn tree(self, tree: &Tree, pad: u64) -> Vec<u8> {
        [
            self.number(4, pad),
            self.number(2, tree.flags.into()),
            self.number(2, tree.depth.into()),
            self.word(tree.branch),
            self.word(tree.leaf),
            self.word(tree.overflow),
            self.word(tree.entries),
            self.word(tree.root.unwrap_or(self.none())),
        ]
        .concat()
    }
}

struct Builder {
    machine: Machine,
    pages: Vec<Vec<u8>>,
}

impl Builder {
    /// A page with everything but its contents.
    fn page(&mut self, flags: u16, lower_upper: [u64; 2]) -> (u64, usize) {
        let number = self.pages.len() as u64;
        let m = self.machine;
        let mut page = m.word(number);
        page.extend(m.number(2, 0));
        page.extend(m.number(2, flags.into()));
        page.extend(m.number(2, lower_upper[0]));
        page.extend(m.number(2, lower_upper[1]));
        page.resize(m.page_size, 0);
        self.pages.push(page);
        (number, m.header())
    }

    fn nodes(&mut self, flags: u16, nodes: &[Node]) -> u64 {
        let m = self.machine;
        let used: usize = nodes.iter().map(Node::space).sum();
        let lower = m.header() + 2 * nodes.len();
        let upper = m.page_size - used;
        assert!(lower <= upper);
        let (number, header) = self.page(flags, [lower as u64, upper as u64]);
        let page = &mut self.pages[number as usize];
        let mut end = m.page_size;
        for (at, node) in nodes.iter().enumerate() {
            end -= node.space();
            let pointer = m.number(2, end as u64);
            page[header + 2 * at..][..2].copy_from_slice(&pointer);
            let bytes = [
                m.number(4, node.size.into()),
                m.number(2, node.flags.into()),
                m.number(2, node.key.len() as u64),
                node.key.clone(),
                node.data.clone(),
            ]
            .concat();
            page[end..][..bytes.len()].copy_from_slice(&bytes);
        }
        number
    }

    fn overflow(&mut self, value: &[u8]) -> (u64, u64) {
        let m = self.machine;
        let count = (m.header() + value.len()).div_ceil(m.page_size) as u64;
        let number = self.pages.len() as u64;
        let mut bytes = m.word(number);
        bytes.extend(m.number(2, 0));
        bytes.extend(m.number(2, OVERFLOW.into()));
        bytes.extend(m.number(4, count));
        bytes.extend(value);
        bytes.resize(count as usize * m.page_size, 0);
        let pages = bytes.chunks(m.page_size).map(<[u8]>::to_vec);
        self.pages.extend(pages);
        (number, count)
    }

    /// Groups of nodes that fit into a page each.
    fn groups(&self, nodes: Vec<Node>, least: usize) -> Vec<Vec<Node>> {
        let room = self.machine.page_size - self.machine.header();
        let mut groups: Vec<Vec<Node>> = vec![Vec::new()];
        let mut used = 0;
        for node in nodes {
            let space = node.space() + 2;
            if used + space > room {
                groups.push(Vec::new());
                used = 0;
            }
            used += space;
            groups.last_mut().unwrap().push(node);
        }
        if groups.len() > 1 && groups.last().unwrap().len() < least {
            let at = groups.len() - 2;
            let moved = groups[at].pop().unwrap();
            groups[at + 1].insert(0, moved);
        }
        groups
    }

    fn tree(&mut self, rows: Vec<(Row, u16)>, flags: u16) -> Tree {
        let m = self.machine;
        let mut tree = Tree {
            flags,
            depth: 0,
            branch: 0,
            leaf: 0,
            overflow: 0,
            entries: rows.len() as u64,
            root: None,
        };
        if rows.is_empty() {
            return tree;
        }
        let mut nodes = Vec::new();
        for ((key, value), flags) in rows {
            let size = value.len() as u32;
            if 8 + key.len() + value.len() > m.node_max() {
                let (number, count) = self.overflow(&value);
                tree.overflow += count;
                nodes.push(Node {
                    key,
                    data: m.word(number),
                    size,
                    flags: flags | BIGDATA,
                });
            } else {
                nodes.push(Node {
                    key,
                    data: value,
                    size,
                    flags,
                });
            }
        }
        let mut level: Vec<(Vec<u8>, u64)> = Vec::new();
        for group in self.groups(nodes, 1) {
            let first = group[0].key.clone();
            level.push((first, self.nodes(LEAF, &group)));
            tree.leaf += 1;
        }
        tree.depth = 1;
        while level.len() > 1 {
            let nodes = level
                .into_iter()
                .map(|(key, child)| Node {
                    key,
                    data: Vec::new(),
                    size: child as u32,
                    flags: if m.word == 8 { (child >> 32) as u16 } else { 0 },
                })
                .collect();
            level = Vec::new();
            for mut group in self.groups(nodes, 2) {
                let first = std::mem::take(&mut group[0].key);
                level.push((first, self.nodes(BRANCH, &group)));
                tree.branch += 1;
            }
            tree.depth += 1;
        }
        tree.root = Some(level[0].1);
        tree
    }
}

/// The file of a store with these tables; rows need not be sorted.
pub fn lmdb_file(machine: Machine, tables: &[(&str, Vec<Row>)]) -> Vec<u8> {
    let m = machine;
    let mut builder = Builder {
        machine,
        pages: vec![Vec::new(), Vec::new()],
    };
    let mut entries = Vec::new();
    for (name, rows) in tables {
        let mut rows = rows.clone();
        rows.sort();
        let rows = rows.into_iter().map(|row| (row, 0)).collect();
        let tree = builder.tree(rows, 0);
        entries.push(((name.as_bytes().to_vec(), m.tree(&tree, 0)), SUBDATA));
    }
    entries.sort();
    // Pages that are free, as transactions leave them behind.
    let free: Vec<u64> = (0..3).map(|_| builder.page(LEAF, [0, 0]).0).collect();
    let main = builder.tree(entries, 0);
    let mut list = m.word(free.len() as u64);
    for page in free.iter().rev() {
        list.extend(m.word(*page));
    }
    let free = builder.tree(vec![((m.word(2), list), 0)], 8);
    let last = builder.pages.len() as u64 - 1;
    // Transaction 3 is the newest and has written page 1.
    for (at, transaction) in [(0, 2), (1, 3)] {
        let mut page = m.word(at);
        page.extend(m.number(2, 0));
        page.extend(m.number(2, META.into()));
        page.extend(m.number(4, 0));
        page.extend(m.number(4, 0xBEEF_C0DE));
        page.extend(m.number(4, 1));
        page.extend(m.word(0));
        page.extend(m.word(64 << 20));
        page.extend(m.tree(&free, m.page_size as u64));
        page.extend(m.tree(&main, 0));
        page.extend(m.word(last));
        page.extend(m.word(transaction));
        page.resize(m.page_size, 0);
        builder.pages[at as usize] = page;
    }
    builder.pages.concat()
}
