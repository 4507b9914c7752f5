//! Where a request head ends. Without I/O.
//!
//! Each byte is looked at once, as it arrives, and what cannot become a head is
//! refused at once: a TLS hello on this port is not waited for.

use super::limits::MAX_HEAD;
use super::reply::Refusal;

/// What a scanner found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The head is not complete.
    More,
    /// The head lies in `start..end` of the buffer; `end` is where the body begins.
    Complete {
        /// First byte of the request line.
        start: usize,
        /// First byte after the empty line.
        end: usize,
    },
    /// This is no head.
    Refused(Refusal),
}

/// Finds the end of a head in a growing buffer.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    seen: usize,
    line: usize,
    start: Option<usize>,
    after_cr: bool,
}

impl Scanner {
    /// Goes on where the last call stopped; `buffer` may only have grown since.
    pub fn scan(&mut self, buffer: &[u8]) -> Scan {
        for (at, &byte) in buffer.iter().enumerate().take(MAX_HEAD).skip(self.seen) {
            if self.after_cr != (byte == b'\n') {
                return Scan::Refused(bad("lines of the head must end in CR LF"));
            }
            match byte {
                b'\r' => self.after_cr = true,
                b'\n' => {
                    self.after_cr = false;
                    if at - self.line == 1 {
                        if let Some(start) = self.start {
                            return Scan::Complete { start, end: at + 1 };
                        }
                        // An empty line before the request line is skipped (RFC 9112, section 2.2).
                    } else {
                        self.start.get_or_insert(self.line);
                    }
                    self.line = at + 1;
                }
                b'\t' | 0x20..=0x7e | 0x80..=0xff => {}
                _ => {
                    return Scan::Refused(bad(
                        "control byte in the head; this port speaks plain HTTP/1.1",
                    ))
                }
            }
        }
        self.seen = buffer.len().min(MAX_HEAD);
        if buffer.len() >= MAX_HEAD {
            return Scan::Refused(Refusal::new(
                431,
                format!("the head is longer than {MAX_HEAD} bytes; send fewer or shorter headers"),
            ));
        }
        Scan::More
    }
}

fn bad(text: &'static str) -> Refusal {
    Refusal::new(400, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn scan_all(bytes: &[u8], cut: usize) -> Scan {
        let mut scanner = Scanner::default();
        let (first, _) = bytes.split_at(cut.min(bytes.len()));
        match scanner.scan(first) {
            Scan::More => scanner.scan(bytes),
            found => found,
        }
    }

    #[test]
    fn a_head_cut_anywhere_is_found_at_the_same_place() {
        let with_body = format!("\r\n{HEAD}{{\"a\":1}}");
        for cut in 0..with_body.len() {
            assert_eq!(
                scan_all(with_body.as_bytes(), cut),
                Scan::Complete {
                    start: 2,
                    end: HEAD.len() + 2
                },
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_tls_hello_is_refused_at_its_first_byte() {
        assert!(matches!(scan_all(b"\x16", 0), Scan::Refused(r) if r.status == 400));
    }

    #[test]
    fn a_lone_line_feed_does_not_end_a_line() {
        for text in ["GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "\n"] {
            assert!(matches!(scan_all(text.as_bytes(), 0), Scan::Refused(_)));
        }
    }

    #[test]
    fn an_endless_head_is_cut_at_its_limit() {
        let long = vec![b'a'; MAX_HEAD];
        assert_eq!(scan_all(&long[..MAX_HEAD - 1], 5), Scan::More);
        assert!(matches!(scan_all(&long, 5), Scan::Refused(r) if r.status == 431));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_arrive(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..600),
                "([A-Z /:]{0,9}(\r\n|\r|\n)?){0,40}".prop_map(String::into_bytes),
            ],
            cut in 0usize..600,
        ) {
            prop_assert_eq!(scan_all(&bytes, cut), scan_all(&bytes, bytes.len()));
        }
    }
}
