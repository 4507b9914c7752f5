//! Frames of WebSocket (RFC 6455, section 5), without I/O.
//!
//! Written here because a crate for it would bring six to ten others, while the
//! format is a header of two to fourteen bytes. Bytes go in as they come, whole
//! messages come out; a message takes memory as it arrives, not as it announces
//! itself. What one of two readers could take otherwise is an error with the
//! close code that the standard has for it.

/// Longest message of a client, in bytes: a batch of 100 calls is below 20 KiB,
/// and all WebSockets together stay at 2 MiB.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest payload of a control frame, by the standard.
const MAX_CONTROL: usize = 125;

/// Close code: done, in good order.
pub const NORMAL: u16 = 1000;
/// Close code: this side stops.
pub const GOING_AWAY: u16 = 1001;
/// Close code: not the protocol.
pub const PROTOCOL: u16 = 1002;
/// Close code: no kind of message that is taken here.
pub const UNSUPPORTED: u16 = 1003;
/// Close code: a text that is not UTF-8.
pub const NOT_TEXT: u16 = 1007;
/// Close code: longer than is taken here.
pub const TOO_LONG: u16 = 1009;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Text(String),
    /// To be answered by a pong with the same payload.
    Ping(Vec<u8>),
    /// The answer to a ping.
    Pong,
    /// The end, with its code if it named one.
    Close(Option<u16>),
}

/// Why the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The close code that says so.
    pub code: u16,
    /// In words.
    pub text: &'static str,
}

fn wrong(text: &'static str) -> Violation {
    let code = PROTOCOL;
    Violation { code, text }
}

/// The frame whose payload is coming in.
#[derive(Clone, Copy, Debug)]
struct Frame {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of payload that came and that are to come.
    came: usize,
    left: usize,
}

/// Bytes of a client to messages.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A header that is not whole.
    head: Vec<u8>,
    frame: Option<Frame>,
    /// A message in the making; its first frame has come when `begun`.
    message: Vec<u8>,
    begun: bool,
    /// The payload of a control frame in the making.
    control: Vec<u8>,
}

impl Decoder {
    /// Takes from `bytes` until something is whole; `None` when they are used up.
    ///
    /// # Errors
    /// The client does not keep to the protocol, or not to our bounds. Nothing
    /// may be fed afterwards.
    pub fn feed(&mut self, bytes: &mut &[u8]) -> Result<Option<Incoming>, Violation> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                let Some((first, rest)) = bytes.split_first() else {
                    return Ok(None);
                };
                *bytes = rest;
                self.head.push(*first);
                self.frame = self.read_head()?;
                continue;
            };
            let (payload, rest) = bytes.split_at(frame.left.min(bytes.len()));
            *bytes = rest;
            let into = if frame.opcode >= CLOSE {
                &mut self.control
            } else {
                &mut self.message
            };
            let keys = frame.mask.iter().cycle().skip(frame.came % 4);
            into.extend(payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
            frame.came += payload.len();
            frame.left -= payload.len();
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(whole) = self.end(frame)? {
                return Ok(Some(whole));
            }
        }
    }

    /// The frame, once its header is whole.
    fn read_head(&mut self) -> Result<Option<Frame>, Violation> {
        let (first, second) = match *self.head.as_slice() {
            [first] => return self.judge(first).map(|()| None),
            [first, second, ..] => (first, second),
            [] => return Ok(None),
        };
        if second & 0x80 == 0 {
            return Err(wrong("a client has to mask its frames"));
        }
        let control = first & 0x08 != 0;
        let short = usize::from(second & 0x7f);
        if control && short > MAX_CONTROL {
            return Err(wrong("a control frame has at most 125 bytes"));
        }
        let extra = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head.len() < 2 + extra + 4 {
            return Ok(None);
        }
        let length = self.head.get(2..2 + extra).unwrap_or_default();
        let long = length.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        let shortest = match extra {
            0 => 0,
            2 => 126,
            _ => 65_536,
        };
        if long < shortest || long > i64::MAX as u64 {
            return Err(wrong("a length has its shortest form"));
        }
        let length = if extra == 0 {
            short
        } else {
            usize::try_from(long).unwrap_or(usize::MAX)
        };
        if !control && length > MAX_MESSAGE - self.message.len() {
            return Err(Violation {
                code: TOO_LONG,
                text: "a message has at most 64 KiB here",
            });
        }
        let mut mask = [0; 4];
        let keys = self.head.get(2 + extra..).unwrap_or_default();
        mask.iter_mut().zip(keys).for_each(|(to, key)| *to = *key);
        // What waits for the next frame owns no memory.
        self.head = Vec::new();
        Ok(Some(Frame {
            last: first & 0x80 != 0,
            opcode: first & 0x0f,
            mask,
            came: 0,
            left: length,
        }))
    }

    /// Whether a frame may begin so.
    fn judge(&mut self, first: u8) -> Result<(), Violation> {
        if first & 0x70 != 0 {
            return Err(wrong("reserved bits are set; no extension was agreed on"));
        }
        match first & 0x0f {
            CONTINUATION if !self.begun => Err(wrong("there is nothing to continue")),
            TEXT if self.begun => Err(wrong("the last message is not finished")),
            TEXT => {
                self.begun = true;
                Ok(())
            }
            CONTINUATION => Ok(()),
            BINARY => Err(Violation {
                code: UNSUPPORTED,
                text: "send texts; JSON is one",
            }),
            CLOSE | PING | PONG if first & 0x80 == 0 => {
                Err(wrong("a control frame is not in pieces"))
            }
            CLOSE | PING | PONG => Ok(()),
            _ => Err(wrong("there is no such kind of frame")),
        }
    }

    /// What a frame that is whole completes.
    fn end(&mut self, frame: Frame) -> Result<Option<Incoming>, Violation> {
        if frame.opcode >= CLOSE {
            let payload = std::mem::take(&mut self.control);
            return match frame.opcode {
                PING => Ok(Some(Incoming::Ping(payload))),
                CLOSE => close_code(&payload).map(|code| Some(Incoming::Close(code))),
                _ => Ok(Some(Incoming::Pong)),
            };
        }
        if !frame.last {
            return Ok(None);
        }
        self.begun = false;
        match String::from_utf8(std::mem::take(&mut self.message)) {
            Ok(text) => Ok(Some(Incoming::Text(text))),
            Err(_) => Err(Violation {
                code: NOT_TEXT,
                text: "a text is UTF-8",
            }),
        }
    }
}

/// The code in the payload of a close frame (section 7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(wrong("a close code has two bytes")),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(wrong("that is no close code to be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation {
            code: NOT_TEXT,
            text: "the reason of a close is UTF-8",
        });
    }
    Ok(Some(code))
}

/// A message to the client.
#[must_use]
pub fn text(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes())
}

/// A ping without a payload.
#[must_use]
pub fn ping() -> Vec<u8> {
    frame(PING, &[])
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// The end, and why: at most 123 bytes of it are sent.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(CLOSE, &payload)
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(0x80 | opcode);
    let length = payload.len();
    match u16::try_from(length) {
        Ok(short @ 0..=125) => {
            bytes.extend_from_slice(short.to_be_bytes().get(1..).unwrap_or_default())
        }
        Ok(middle) => {
            bytes.push(126);
            bytes.extend_from_slice(&middle.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests;
