//! The one frame of Diode's dialect that this node can say: goodbye.
//!
//! A Diode frame is `length:16` (big-endian) and one RLP item
//! `[request_id, [command, argument…]]`. `goodbye` with a reason is what the Go
//! client reads as a clear end.

use super::rlp::Encoder;

/// `[0, ["goodbye", reason, text]]` as one frame. Both texts are short words of
/// ours, far below the frame's 65,535 bytes.
#[must_use]
pub fn goodbye(reason: &str, text: &str) -> Vec<u8> {
    let mut rlp = Encoder::new();
    rlp.list(|envelope| {
        envelope.u64(0).list(|message| {
            message
                .bytes(b"goodbye")
                .bytes(reason.as_bytes())
                .bytes(text.as_bytes());
        });
    });
    let payload = rlp.finish();
    let mut frame = Vec::with_capacity(payload.len() + 2);
    frame.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(&payload);
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::rlp::Item;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_goodbye_is_one_frame_with_its_words(reason in ".{0,80}", text in ".{0,300}") {
            let frame = goodbye(&reason, &text);
            prop_assert_eq!(usize::from(u16::from_be_bytes([frame[0], frame[1]])), frame.len() - 2);
            // By this byte the dialect is told from ours.
            prop_assert!(frame[2] >= 0xc0);
            let [_, message] = Item::parse(&frame[2..]).unwrap().tuple().unwrap();
            let [_, first, second] = message.tuple().unwrap();
            prop_assert_eq!(first.bytes().unwrap(), reason.as_bytes());
            prop_assert_eq!(second.bytes().unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_diode_client_can_read_why_it_is_sent_away() {
        let frame = goodbye("dialect", "not here");
        assert_eq!(
            usize::from(u16::from_be_bytes([frame[0], frame[1]])),
            frame.len() - 2
        );
        let [id, message] = Item::parse(&frame[2..]).unwrap().tuple().unwrap();
        assert_eq!(id.u64().unwrap(), 0);
        let [word, reason, text] = message.tuple().unwrap();
        assert_eq!(word.bytes().unwrap(), b"goodbye");
        assert_eq!(reason.bytes().unwrap(), b"dialect");
        assert_eq!(text.bytes().unwrap(), b"not here");
    }
}
