//! EdgeV2 framing, our dialect. All integers are big-endian.
//!
//! ```text
//! version:8 = 2   type:8   flags:16 = 0   length:32   payload
//! ```
//!
//! `length` counts the payload alone. The payload of a data frame (type 0x10)
//! is `port:32` and then raw bytes, of every other frame `id:32` and then one
//! postcard struct ([`super::control`]). Both limits count the leading four bytes.
//!
//! A control frame is decoded whole. A data frame is handed on in the pieces in
//! which it arrives: a relay must not hold 64 KiB for each session that has
//! received half a frame.

use std::fmt;

/// The protocol version that every frame states.
pub const VERSION: u8 = 2;
/// Bytes in front of the payload.
pub const HEADER_LEN: usize = 8;
/// Header and port number of a data frame.
pub const DATA_HEADER_LEN: usize = HEADER_LEN + 4;
/// The type number of data frames.
pub const DATA: u8 = 0x10;
/// The type number of Hello, the first frame of every session.
pub const HELLO: u8 = 0x01;
/// First type number that is never used: a Diode frame's third byte is 0xC0 or
/// above, and keeping the second byte's upper half free leaves room for more dialects.
pub const TYPE_END: u8 = 0x80;
/// Longest control payload, id included. One TLS record: a control frame is
/// never worth more memory than that.
pub const CONTROL_MAX: usize = 16_384;
/// Longest data payload, port number included. A UDP datagram always fits.
pub const DATA_MAX: usize = 65_536;
/// Raw bytes in the longest data frame.
pub const DATA_BYTES_MAX: usize = DATA_MAX - 4;
/// Raw bytes of a data frame that fills one TLS record exactly (16,384 with its
/// header). Senders cut streams here, so that one record is one frame and the
/// next hop can pass it on without another copy.
pub const RECORD_BYTES: usize = 16_384 - DATA_HEADER_LEN;

/// What is wrong with the bytes that the other side sent. All of them end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The version byte is not 2.
    Version(u8),
    /// A type number of 0 or of 0x80 and above.
    Type(u8),
    /// A reserved flag bit is set.
    Flags(u16),
    /// The length is below 4 or above the limit of its kind.
    Length {
        /// The frame's type.
        kind: u8,
        /// The length stated.
        length: u32,
        /// The highest length allowed for this type.
        limit: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            FrameError::Version(v) => write!(f, "frame of version {v}, this side speaks 2"),
            FrameError::Type(t) => write!(f, "frame type 0x{t:02x} is never used"),
            FrameError::Flags(b) => write!(f, "frame flags 0x{b:04x}, all bits are reserved"),
            FrameError::Length {
                kind,
                length,
                limit,
            } => write!(
                f,
                "frame of type 0x{kind:02x} with length {length}, allowed are 4 to {limit}"
            ),
        }
    }
}

impl std::error::Error for FrameError {}

/// The twelve bytes in front of a data frame's raw bytes. `len` counts the raw
/// bytes, at most [`DATA_BYTES_MAX`].
#[must_use]
pub fn data_header(port: u32, len: usize) -> [u8; DATA_HEADER_LEN] {
    debug_assert!(len <= DATA_BYTES_MAX);
    head(DATA, u32::try_from(len + 4).unwrap_or(u32::MAX), port)
}

/// The twelve bytes in front of a control frame's struct of `len` bytes.
#[must_use]
pub fn control_header(kind: u8, id: u32, len: usize) -> [u8; DATA_HEADER_LEN] {
    debug_assert!(len + 4 <= CONTROL_MAX);
    head(kind, u32::try_from(len + 4).unwrap_or(u32::MAX), id)
}

fn head(kind: u8, length: u32, word: u32) -> [u8; DATA_HEADER_LEN] {
    let l = length.to_be_bytes();
    let w = word.to_be_bytes();
    [
        VERSION, kind, 0, 0, l[0], l[1], l[2], l[3], w[0], w[1], w[2], w[3],
    ]
}

/// Whether the first eight bytes of a connection without ALPN are ours: version
/// 2, type Hello, no flags, a legal length.
#[must_use]
pub fn starts_our_dialect(first: &[u8; HEADER_LEN]) -> bool {
    first[1] == HELLO && parse_header(first).is_ok()
}

fn parse_header(b: &[u8; HEADER_LEN]) -> Result<(u8, u32), FrameError> {
    let [version, kind, f0, f1, l0, l1, l2, l3] = *b;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    if kind == 0 || kind >= TYPE_END {
        return Err(FrameError::Type(kind));
    }
    let flags = u16::from_be_bytes([f0, f1]);
    if flags != 0 {
        return Err(FrameError::Flags(flags));
    }
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let limit = if kind == DATA { DATA_MAX } else { CONTROL_MAX } as u32;
    if !(4..=limit).contains(&length) {
        return Err(FrameError::Length {
            kind,
            length,
            limit,
        });
    }
    Ok((kind, length))
}

/// What [`Decoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole control frame.
    Control {
        /// Type number.
        kind: u8,
        /// Request id, 0 where no answer is expected.
        id: u32,
        /// The postcard struct, undecoded.
        body: &'a [u8],
    },
    /// Some of a data frame's raw bytes. The pieces of one frame follow each
    /// other without anything between them.
    Data {
        /// Port number.
        port: u32,
        /// The bytes; empty for an empty frame.
        bytes: &'a [u8],
        /// This piece starts the frame.
        first: bool,
        /// This piece ends the frame.
        last: bool,
    },
}

#[derive(Debug)]
enum State {
    Head,
    Control { kind: u8, id: u32, need: usize },
    Data { port: u32, left: usize, first: bool },
}

/// Cuts a byte stream into frames. Holds at most one partial control frame
/// (16 KiB, allocated as its bytes arrive) and no data.
#[derive(Debug)]
pub struct Decoder {
    head: [u8; DATA_HEADER_LEN],
    have: usize,
    body: Vec<u8>,
    state: State,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder {
            head: [0; DATA_HEADER_LEN],
            have: 0,
            body: Vec::new(),
            state: State::Head,
        }
    }

    /// Takes the next piece off the front of `input`; `None` when more bytes are
    /// needed (then `input` is empty).
    ///
    /// # Errors
    /// The stream is not EdgeV2; nothing after that can be decoded.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Piece<'s>>, FrameError> {
        if matches!(self.state, State::Head) {
            // The last control frame's buffer has been read by now.
            self.body = Vec::new();
            if !self.fill_head(input)? {
                return Ok(None);
            }
        }
        match self.state {
            State::Head => Ok(None),
            State::Control { kind, id, need } => {
                if self.body.is_empty() && input.len() >= need {
                    let (body, rest) = input.split_at(need);
                    *input = rest;
                    self.state = State::Head;
                    return Ok(Some(Piece::Control { kind, id, body }));
                }
                let take = need.saturating_sub(self.body.len()).min(input.len());
                let (part, rest) = input.split_at(take);
                self.body.extend_from_slice(part);
                *input = rest;
                if self.body.len() < need {
                    return Ok(None);
                }
                self.state = State::Head;
                Ok(Some(Piece::Control {
                    kind,
                    id,
                    body: &self.body,
                }))
            }
            State::Data { port, left, first } => {
                let take = left.min(input.len());
                if take == 0 && left != 0 {
                    return Ok(None);
                }
                let (bytes, rest) = input.split_at(take);
                *input = rest;
                let last = take == left;
                self.state = if last {
                    State::Head
                } else {
                    State::Data {
                        port,
                        left: left - take,
                        first: false,
                    }
                };
                Ok(Some(Piece::Data {
                    port,
                    bytes,
                    first,
                    last,
                }))
            }
        }
    }

    /// Collects the twelve bytes that start every frame; true when they are complete.
    fn fill_head(&mut self, input: &mut &[u8]) -> Result<bool, FrameError> {
        let had = self.have;
        for slot in self.head.iter_mut().skip(had) {
            let Some((byte, rest)) = input.split_first() else {
                break;
            };
            *slot = *byte;
            *input = rest;
            self.have += 1;
        }
        let [h0, h1, h2, h3, h4, h5, h6, h7, w0, w1, w2, w3] = self.head;
        if self.have < HEADER_LEN {
            return Ok(false);
        }
        // Checked as soon as eight bytes are here: a stranger's bytes are refused early.
        let (kind, length) = parse_header(&[h0, h1, h2, h3, h4, h5, h6, h7])?;
        if self.have < DATA_HEADER_LEN {
            return Ok(false);
        }
        self.have = 0;
        let word = u32::from_be_bytes([w0, w1, w2, w3]);
        let need = length as usize - 4;
        self.state = if kind == DATA {
            State::Data {
                port: word,
                left: need,
                first: true,
            }
        } else {
            State::Control {
                kind,
                id: word,
                need,
            }
        };
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Whole {
        Control(u8, u32, Vec<u8>),
        Data(u32, Vec<u8>),
    }

    fn encode(frames: &[Whole]) -> Vec<u8> {
        let mut out = Vec::new();
        for f in frames {
            match f {
                Whole::Control(kind, id, body) => {
                    out.extend_from_slice(&control_header(*kind, *id, body.len()));
                    out.extend_from_slice(body);
                }
                Whole::Data(port, bytes) => {
                    out.extend_from_slice(&data_header(*port, bytes.len()));
                    out.extend_from_slice(bytes);
                }
            }
        }
        out
    }

    fn feed(d: &mut Decoder, mut input: &[u8], out: &mut Vec<Whole>) -> Result<(), FrameError> {
        loop {
            match d.next(&mut input)? {
                None => return Ok(()),
                Some(Piece::Control { kind, id, body }) => {
                    out.push(Whole::Control(kind, id, body.to_vec()));
                }
                Some(Piece::Data {
                    port,
                    bytes,
                    first,
                    last: _,
                }) => {
                    if first {
                        out.push(Whole::Data(port, bytes.to_vec()));
                    } else if let Some(Whole::Data(p, b)) = out.last_mut() {
                        assert_eq!(*p, port);
                        b.extend_from_slice(bytes);
                    } else {
                        panic!("a frame continues that never began");
                    }
                }
            }
        }
    }

    fn frames() -> impl Strategy<Value = Vec<Whole>> {
        let control = (1u8..TYPE_END, any::<u32>(), 0usize..2000)
            .prop_filter("data has its own form", |(k, _, _)| *k != DATA)
            .prop_map(|(k, id, n)| Whole::Control(k, id, vec![k; n]));
        let data = (any::<u32>(), 0usize..5000).prop_map(|(p, n)| Whole::Data(p, vec![7; n]));
        proptest::collection::vec(prop_oneof![control, data], 0..8)
    }

    proptest! {
        #[test]
        fn frames_survive_any_split_of_the_stream(fs in frames(), cuts in proptest::collection::vec(1usize..700, 1..64)) {
            let bytes = encode(&fs);
            let (mut d, mut got, mut rest) = (Decoder::new(), Vec::new(), &bytes[..]);
            let mut cut = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cut.next().unwrap()).min(rest.len());
                feed(&mut d, &rest[..n], &mut got).unwrap();
                rest = &rest[n..];
            }
            prop_assert_eq!(got, fs);
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_spin(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let _ = feed(&mut Decoder::new(), &bytes, &mut Vec::new());
        }
    }

    #[test]
    fn a_reserved_flag_bit_is_refused() {
        let mut h = control_header(1, 1, 0);
        h[3] = 1;
        let r = Decoder::new().next(&mut &h[..]).map(|_| ());
        assert_eq!(r, Err(FrameError::Flags(1)));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_anything_is_kept() {
        for (kind, len) in [(DATA, 65_537u32), (1, 16_385), (1, 3), (DATA, 0)] {
            let mut h = head(kind, 0, 1);
            h[4..8].copy_from_slice(&len.to_be_bytes());
            let mut d = Decoder::new();
            let r = d.next(&mut &h[..8]).map(|_| ());
            assert!(matches!(r, Err(FrameError::Length { .. })), "{kind} {len}");
            assert_eq!(d.body.capacity(), 0);
        }
    }

    #[test]
    fn the_longest_frames_pass() {
        let fs = vec![
            Whole::Data(3, vec![1; DATA_BYTES_MAX]),
            Whole::Control(1, 5, vec![2; CONTROL_MAX - 4]),
            Whole::Data(3, Vec::new()),
        ];
        let mut got = Vec::new();
        feed(&mut Decoder::new(), &encode(&fs), &mut got).unwrap();
        assert_eq!(got, fs);
    }

    #[test]
    fn a_diode_frame_is_not_taken_for_ours() {
        assert!(!starts_our_dialect(&[
            0x00, 0x17, 0xd6, 1, 0xd4, 0x8f, 0x67, 0x65
        ]));
        assert!(starts_our_dialect(&[2, 1, 0, 0, 0, 0, 0, 12]));
    }
}
