//! Frames of WebSocket: judged alike however they arrive, within their bounds, and
//! what is written is what a client would have sent but for the mask.
#![no_main]

use chr_node::rpc::websocket::frame::{self, Decoder, Incoming, Violation, MAX_MESSAGE};
use libfuzzer_sys::fuzz_target;

fn heard(bytes: &[u8], size: usize) -> (Vec<Incoming>, Option<Violation>) {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for piece in bytes.chunks(size) {
        let mut rest = piece;
        loop {
            match decoder.feed(&mut rest) {
                Ok(Some(one)) => all.push(one),
                Ok(None) => break,
                Err(violation) => return (all, Some(violation)),
            }
        }
        assert!(rest.is_empty());
    }
    (all, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else {
        return;
    };
    let whole = heard(bytes, bytes.len().max(1));
    assert_eq!(heard(bytes, usize::from(*first) + 1), whole);
    assert_eq!(heard(bytes, 1), whole);
    for message in &whole.0 {
        match message {
            Incoming::Text(text) => {
                assert!(text.len() <= MAX_MESSAGE);
                assert!(frame::text(text).ends_with(text.as_bytes()));
            }
            Incoming::Ping(payload) => assert_eq!(frame::pong(payload).len(), payload.len() + 2),
            Incoming::Pong | Incoming::Close(_) => {}
        }
    }
    if let Some(violation) = whole.1 {
        assert!(frame::close(violation.code, violation.text).len() <= 127);
    }
});
