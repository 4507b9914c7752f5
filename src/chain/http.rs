//! HTTP/1.1 (RFC 9112) as a client needs it here, without I/O: one POST, and its
//! answer with a length, in chunks or up to the end of the connection. Everything
//! is bounded: the other side is chosen by the operator, but the way to it need
//! not be safe.

use httparse::{parse_chunk_size, Status, EMPTY_HEADER};

/// Longest head of an answer in bytes; providers send one to two thousand.
pub const HEAD_MAX: usize = 16 * 1024;
/// Lines of a head.
const HEADERS_MAX: usize = 64;
/// Longest body in bytes: a block with its transactions in full has a few hundred
/// thousand. A tree of JSON takes several times its text, and there may be
/// [`super::CALLS_MAX`] of them.
pub const BODY_MAX: usize = 1 << 20;
/// Bytes of chunk sizes, their extensions and trailers.
const CHUNKS_MAX: usize = 64 * 1024;
/// Longest line that opens a chunk.
const CHUNK_LINE_MAX: usize = 256;

/// The text of a request.
#[must_use]
pub fn post(authority: &str, path: &str, agent: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Such as 200.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the connection may be used again.
    pub keep: bool,
    /// Seconds after which to ask again, if it says so.
    pub retry_after: Option<u64>,
}

enum Stage {
    Head,
    Length(usize),
    ChunkSize,
    /// Bytes that the chunk still has, its line end included.
    Chunk(usize),
    Trailer,
    ToEnd,
}

/// Reads one answer.
pub struct Reader {
    stage: Stage,
    waiting: Vec<u8>,
    reply: Reply,
    overhead: usize,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            stage: Stage::Head,
            waiting: Vec::new(),
            reply: Reply {
                status: 0,
                body: Vec::new(),
                keep: true,
                retry_after: None,
            },
            overhead: 0,
        }
    }
}

impl Reader {
    /// Whether nothing of an answer has come yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.waiting.is_empty()
    }

    /// Takes more bytes. The answer, when it is complete; bytes behind it are an
    /// error, since nothing more was asked.
    ///
    /// # Errors
    /// In words: it is not HTTP, or too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Reply>, String> {
        self.waiting.extend_from_slice(bytes);
        while let Some(done) = self.step()? {
            if done {
                if !self.waiting.is_empty() {
                    return Err("it sent more than one answer".to_owned());
                }
                return Ok(Some(std::mem::take(self).reply));
            }
        }
        Ok(None)
    }

    /// The connection has ended in good order.
    ///
    /// # Errors
    /// In words: the answer is not complete.
    pub fn end(self) -> Result<Reply, String> {
        match self.stage {
            Stage::ToEnd => Ok(self.reply),
            _ => Err("it closed the connection before its answer was complete".to_owned()),
        }
    }

    /// One step further: whether the answer is complete; `None` if bytes are missing.
    fn step(&mut self) -> Result<Option<bool>, String> {
        match self.stage {
            Stage::Head => self.head(),
            Stage::Length(left) => {
                let taken = self.take_body(left)?;
                self.stage = Stage::Length(left - taken);
                Ok((left == taken).then_some(true))
            }
            Stage::ToEnd => {
                self.take_body(usize::MAX)?;
                Ok(None)
            }
            Stage::ChunkSize => match parse_chunk_size(&self.waiting) {
                Ok(Status::Complete((end, size))) => {
                    self.skip(end)?;
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    if size > BODY_MAX.saturating_sub(self.reply.body.len()) {
                        return Err(too_long());
                    }
                    self.stage = match size {
                        0 => Stage::Trailer,
                        // The line end behind it.
                        size => Stage::Chunk(size + 2),
                    };
                    Ok(Some(false))
                }
                Ok(Status::Partial) if self.waiting.len() <= CHUNK_LINE_MAX => Ok(None),
                _ => Err("its chunks are not as HTTP has them".to_owned()),
            },
            Stage::Chunk(left) => {
                let taken = self.take_body(left.saturating_sub(2))?;
                let left = left - taken;
                self.stage = Stage::Chunk(left);
                if left > 2 || self.waiting.len() < 2 {
                    return Ok(None);
                }
                if !self.waiting.starts_with(b"\r\n") {
                    return Err("its chunks are not as HTTP has them".to_owned());
                }
                self.skip(2)?;
                self.stage = Stage::ChunkSize;
                Ok(Some(false))
            }
            Stage::Trailer => {
                let end = self.waiting.windows(2).position(|two| two == b"\r\n");
                match end {
                    Some(end) => {
                        self.skip(end + 2)?;
                        Ok(Some(end == 0))
                    }
                    None if self.waiting.len() <= HEAD_MAX => Ok(None),
                    None => Err(too_long()),
                }
            }
        }
    }

    fn head(&mut self) -> Result<Option<bool>, String> {
        let mut lines = [EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut lines);
        let length = match head.parse(&self.waiting) {
            Ok(Status::Complete(length)) if length <= HEAD_MAX => length,
            Ok(Status::Partial) if self.waiting.len() <= HEAD_MAX => return Ok(None),
            Ok(_) => return Err("the head of its answer is too long".to_owned()),
            Err(error) => return Err(format!("its answer is not HTTP ({error})")),
        };
        let status = head.code.unwrap_or(0);
        // HTTP/1.0 ends with the connection unless it says otherwise; it is not worth the case.
        let mut keep = head.version == Some(1);
        let (mut bytes, mut chunked) = (None, false);
        let mut retry_after = None;
        for header in head.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let number = value.bytes().all(|b| b.is_ascii_digit());
                let number = number.then(|| value.parse::<usize>().ok()).flatten();
                let number = number.ok_or("its Content-Length is no number")?;
                if bytes.is_some_and(|before| before != number) {
                    return Err("it names two lengths".to_owned());
                }
                bytes = Some(number);
            } else if is("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err(format!(
                        "it sends its answer as {value:?}, which was not asked for"
                    ));
                }
                chunked = true;
            } else if is("content-encoding") && !value.eq_ignore_ascii_case("identity") {
                return Err(format!(
                    "it sends its answer as {value:?}, which was not asked for"
                ));
            } else if is("connection") {
                keep &= !value.eq_ignore_ascii_case("close");
            } else if is("retry-after") {
                retry_after = value.parse().ok();
            }
        }
        self.waiting.drain(..length);
        if (100..200).contains(&status) {
            self.overhead = self.overhead.saturating_add(length);
            // Interim answers, a few at most.
            return if self.overhead > HEAD_MAX {
                Err("the head of its answer is too long".to_owned())
            } else {
                Ok(Some(false))
            };
        }
        self.reply.status = status;
        self.reply.retry_after = retry_after;
        self.stage = match (chunked, bytes) {
            (true, Some(_)) => return Err("it names a length and sends chunks".to_owned()),
            (true, None) => Stage::ChunkSize,
            (false, Some(bytes)) if bytes > BODY_MAX => return Err(too_long()),
            (false, Some(bytes)) => Stage::Length(bytes),
            (false, None) if status == 204 || status == 304 => Stage::Length(0),
            (false, None) => {
                keep = false;
                Stage::ToEnd
            }
        };
        self.reply.keep = keep;
        Ok(Some(false))
    }

    /// Moves at most `most` bytes to the body; how many.
    fn take_body(&mut self, most: usize) -> Result<usize, String> {
        let taken = self.waiting.len().min(most);
        if self.reply.body.len().saturating_add(taken) > BODY_MAX {
            return Err(too_long());
        }
        self.reply.body.extend(self.waiting.drain(..taken));
        Ok(taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), String> {
        self.overhead = self.overhead.saturating_add(bytes);
        self.waiting.drain(..bytes.min(self.waiting.len()));
        if self.overhead > CHUNKS_MAX {
            return Err("its chunks are too small".to_owned());
        }
        Ok(())
    }
}

fn too_long() -> String {
    format!("its answer is longer than {BODY_MAX} bytes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// The answer, when `text` comes in pieces of `size`.
    fn read(text: &[u8], size: usize) -> Result<Option<Reply>, String> {
        let mut reader = Reader::default();
        let mut done = None;
        for piece in text.chunks(size) {
            assert!(done.is_none(), "complete before its end");
            done = reader.feed(piece)?;
        }
        match done {
            None => reader.end().map(Some),
            done => Ok(done),
        }
    }

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_comes() {
        let with_length = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec();
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n".to_vec();
        let interim =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
                .to_vec();
        let to_end = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
        for (text, keep) in [
            (with_length, true),
            (chunked, true),
            (interim, true),
            (to_end, false),
        ] {
            for size in 1..=text.len() {
                let reply = read(&text, size).unwrap().unwrap();
                assert_eq!((reply.status, reply.keep), (200, keep));
                assert_eq!(reply.body, b"hello");
            }
            // One that is cut off is none; of the last kind nobody can tell.
            for cut in 0..text.len() {
                let cut = read(&text[..cut], 7);
                assert!(cut.is_err() || !keep, "{cut:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_could_be_read_in_two_ways_is_refused() {
        for head in [
            "content-length: 5\r\ncontent-length: 6",
            "content-length: 5\r\ntransfer-encoding: chunked",
            "content-length: +5",
            "content-length: 99999999999999999999999",
            "transfer-encoding: gzip, chunked",
            "content-encoding: gzip\r\ncontent-length: 5",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nhello");
            assert!(read(text.as_bytes(), 1000).is_err(), "{head}");
        }
        // Bytes behind the answer belong to no question.
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello";
        assert!(read(text, 1000).is_err());
    }

    #[test]
    fn an_answer_that_never_ends_takes_a_bounded_amount_of_memory() {
        let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        endless.resize(endless.len() + BODY_MAX + 1, b'x');
        assert!(read(&endless, 4096).is_err());
        let long = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            BODY_MAX + 1
        );
        assert!(read(long.as_bytes(), 4096).is_err());
        let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        head.resize(HEAD_MAX + 2, b'x');
        assert!(read(&head, 4096).is_err());
        let mut interim = Vec::new();
        (0..2000).for_each(|_| interim.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
        assert!(read(&interim, 4096).is_err());
        // Chunks of one byte: most of it is not body.
        let mut chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        (0..100_000).for_each(|_| chunks.extend_from_slice(b"1\r\nx\r\n"));
        assert!(read(&chunks, 4096).is_err());
        let huge = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n";
        assert!(read(huge, 4096).is_err());
    }

    #[test]
    fn when_to_ask_again_is_heard() {
        let text = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let reply = read(text, 3).unwrap().unwrap();
        assert_eq!(
            (reply.status, reply.retry_after, reply.keep),
            (429, Some(7), false)
        );
    }

    proptest! {
        #[test]
        fn strange_bytes_never_panic(bytes: Vec<u8>, chunked: bool) {
            let head: &[u8] = if chunked {
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            } else {
                b""
            };
            let text = [head, &bytes].concat();
            let mut reader = Reader::default();
            for piece in text.chunks(5) {
                if reader.feed(piece).is_err() {
                    break;
                }
            }
        }
    }
}
