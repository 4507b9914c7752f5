//! Bytes that wait for one port.
//!
//! They are kept in chunks of at most one TLS record, each with room for a frame
//! header in front, so that a chunk can be framed and encrypted where it lies.

use crate::wire::frame::{data_header, DATA_BYTES_MAX, DATA_HEADER_LEN, RECORD_BYTES};
use std::collections::VecDeque;

/// Datagrams that may wait for one port. Beyond that the oldest is dropped: a
/// queue of 256 is half a second of voice and a burst of any DNS resolver, and
/// empty datagrams cost no credit, so their number needs a bound of its own.
pub const DATAGRAMS_MAX: usize = 256;

/// Raw bytes with room for a frame header in front of them.
#[derive(Debug)]
pub struct Chunk {
    /// Header room and bytes; `start` is where the bytes begin.
    buf: Vec<u8>,
    start: usize,
}

impl Chunk {
    /// An empty chunk that can take `capacity` bytes without moving.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Chunk {
        let mut buf = Vec::with_capacity(DATA_HEADER_LEN + capacity);
        buf.resize(DATA_HEADER_LEN, 0);
        Chunk {
            buf,
            start: DATA_HEADER_LEN,
        }
    }

    /// A chunk with a copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Chunk {
        let mut c = Chunk::with_capacity(bytes.len());
        c.buf.extend_from_slice(bytes);
        c
    }

    /// The raw bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }

    /// The raw bytes, to be changed in place (decryption).
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.start..).unwrap_or_default()
    }

    /// Number of raw bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// No bytes (an empty datagram, or a chunk not yet filled).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `bytes` behind the ones that are here.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Drops the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        self.start = (self.start + n).min(self.buf.len());
    }

    /// The whole data frame for `port`: the header is written into the room in front.
    pub fn frame(&mut self, port: u32) -> &[u8] {
        let header = data_header(port, self.len());
        let from = self.start - DATA_HEADER_LEN;
        if let Some(room) = self.buf.get_mut(from..self.start) {
            room.copy_from_slice(&header);
        }
        self.buf.get(from..).unwrap_or_default()
    }

    fn split_front(&mut self, n: usize) -> Chunk {
        let front = Chunk::copy_of(self.bytes().get(..n).unwrap_or_default());
        self.advance(n);
        front
    }
}

/// A port's waiting bytes, in order.
#[derive(Debug, Default)]
pub struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

impl Queue {
    /// Raw bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing waits, not even an empty datagram.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends stream bytes. Small pieces join the last chunk, so that a flood
    /// of tiny frames costs no more memory than their bytes.
    pub fn push_stream(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len();
        if let Some(last) = self.chunks.back_mut() {
            // Joined only as a whole: bulk frames stay aligned with records.
            if last.len() + bytes.len() <= RECORD_BYTES {
                last.extend(bytes);
                return;
            }
        }
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(RECORD_BYTES));
            self.chunks.push_back(Chunk::copy_of(head));
            bytes = rest;
        }
    }

    /// Appends one datagram of at most [`DATA_BYTES_MAX`] bytes. Returns the
    /// bytes of the oldest ones that had to go.
    pub fn push_datagram(&mut self, bytes: &[u8]) -> usize {
        debug_assert!(bytes.len() <= DATA_BYTES_MAX);
        let mut dropped = 0;
        while self.chunks.len() >= DATAGRAMS_MAX {
            if let Some(old) = self.chunks.pop_front() {
                dropped += old.len();
            }
        }
        self.bytes = self.bytes + bytes.len() - dropped;
        self.chunks.push_back(Chunk::copy_of(bytes));
        dropped
    }

    /// Takes the first chunk, or its first `limit` bytes. `None` when nothing
    /// waits or `limit` is 0.
    pub fn pop_stream(&mut self, limit: usize) -> Option<Chunk> {
        if limit == 0 {
            return None;
        }
        let first = self.chunks.front_mut()?;
        let chunk = if first.len() > limit {
            first.split_front(limit)
        } else {
            self.pop()?
        };
        self.settle(&chunk);
        Some(chunk)
    }

    /// Takes the first chunk or datagram whole if it has at most `limit` bytes.
    pub fn pop_whole(&mut self, limit: usize) -> Option<Chunk> {
        if self.chunks.front()?.len() > limit {
            return None;
        }
        let chunk = self.pop()?;
        self.settle(&chunk);
        Some(chunk)
    }

    /// Takes everything that is here.
    pub fn clear(&mut self) -> usize {
        self.chunks = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }

    fn pop(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front();
        if self.chunks.is_empty() && self.chunks.capacity() > 8 {
            // An idle port keeps no memory of its busy days.
            self.chunks = VecDeque::new();
        }
        chunk
    }

    fn settle(&mut self, taken: &Chunk) {
        self.bytes = self.bytes.saturating_sub(taken.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stream_comes_out_as_it_went_in(
            pieces in proptest::collection::vec(0usize..40_000, 1..12),
            limits in proptest::collection::vec(1usize..50_000, 1..12),
        ) {
            let mut q = Queue::default();
            let mut sent = Vec::new();
            for (i, n) in pieces.iter().enumerate() {
                let piece: Vec<u8> = (0..*n).map(|j| (i * 31 + j) as u8).collect();
                q.push_stream(&piece);
                sent.extend(piece);
            }
            prop_assert_eq!(q.bytes(), sent.len());
            let mut got = Vec::new();
            let mut limit = limits.iter().cycle();
            while let Some(c) = q.pop_stream(*limit.next().unwrap()) {
                prop_assert!(c.len() <= RECORD_BYTES && !c.is_empty());
                got.extend_from_slice(c.bytes());
                prop_assert_eq!(q.bytes(), sent.len() - got.len());
            }
            prop_assert_eq!(got, sent);
        }
    }

    #[test]
    fn tiny_pieces_do_not_cost_a_chunk_each() {
        let mut q = Queue::default();
        for _ in 0..60_000 {
            q.push_stream(b"x");
        }
        assert!(q.chunks.len() <= 4, "{}", q.chunks.len());
    }

    #[test]
    fn a_flood_of_empty_datagrams_is_bounded() {
        let mut q = Queue::default();
        for _ in 0..10_000 {
            q.push_datagram(b"");
        }
        assert_eq!(q.chunks.len(), DATAGRAMS_MAX);
    }

    #[test]
    fn dropped_datagrams_are_reported_so_that_their_credit_returns() {
        let mut q = Queue::default();
        let mut dropped = 0;
        for _ in 0..DATAGRAMS_MAX + 3 {
            dropped += q.push_datagram(&[0; 10]);
        }
        assert_eq!((dropped, q.bytes()), (30, DATAGRAMS_MAX * 10));
    }

    #[test]
    fn a_datagram_is_never_split() {
        let mut q = Queue::default();
        q.push_datagram(&[1; 1400]);
        assert!(q.pop_whole(1399).is_none());
        assert_eq!(q.pop_whole(1400).unwrap().len(), 1400);
    }

    #[test]
    fn a_partly_sent_chunk_is_framed_right() {
        let mut c = Chunk::copy_of(&[5; 100]);
        c.advance(60);
        let f = c.frame(9).to_vec();
        assert_eq!(f.len(), DATA_HEADER_LEN + 40);
        assert_eq!(&f[..DATA_HEADER_LEN], &data_header(9, 40));
    }
}
