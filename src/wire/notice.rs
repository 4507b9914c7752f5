//! What a node that is short of power and its devices tell each other.
//!
//! Both sides of a session must know a capability bit of Hello and Welcome; whoever
//! does not know it sees nothing of what follows.
//!
//! **Notices** ([`NOTICES`]). A node whose battery is low or that is hot opens no
//! more ports. Devices would learn that by their next opening; so the node says
//! [`Openings`] when that begins and when it ends, and to a device that is admitted
//! meanwhile at once. The device opens ports through another of its nodes until then.
//!
//! **Rounds** ([`ROUNDS`]). A device pings when its own time has come, so five
//! devices wake their node up five times. A node that saves power pings all of
//! its devices together instead, at most 100 s after it has heard of each; a
//! device that knows this bit takes such a Ping for its own: it waits anew before
//! it pings. A device that saves power itself pings more seldom than the node
//! would, and does not offer the bit.

use super::code::Code;
use super::control::{messages, Message, TEXT_MAX};
use serde::{Deserialize, Serialize};

/// The bit of Hello and Welcome that says: frames of type 0B are known.
pub const NOTICES: u64 = 2;
/// The bit of Hello and Welcome that says: a Ping of the node puts off the device's.
pub const ROUNDS: u64 = 4;

messages! {
    /// Node to device, id 0: whether this node opens ports from here on. Those that
    /// are open go on.
    0x0b Openings {
        /// It does. What follows has no meaning then.
        open: bool;
        /// Why not.
        code: Code;
        /// Why not, for people.
        text: String, max TEXT_MAX;
        /// Milliseconds after which trying again makes sense.
        retry_after_ms: Option<u32>;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::wire::control::{decode, encode, ControlError};
    use crate::wire::frame::DATA_HEADER_LEN;
    use proptest::prelude::*;

    fn body(said: &Openings) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(0, said, &mut frame);
        frame.split_off(DATA_HEADER_LEN)
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_was_and_nothing_cut_or_longer_is_taken_for_it(
            open in any::<bool>(), code in any::<u16>(), text in "[a-zäß %]{0,80}",
            retry_after_ms in any::<Option<u32>>(), byte in any::<u8>(),
        ) {
            let said = Openings { open, code: Code(code), text, retry_after_ms };
            let bytes = body(&said);
            prop_assert_eq!(decode::<Openings>(&bytes), Ok(said));
            for end in 0..bytes.len() {
                let cut = decode::<Openings>(&bytes[..end]);
                prop_assert_eq!(cut, Err(ControlError::Malformed("Openings")));
            }
            let long = [&bytes[..], &[byte]].concat();
            prop_assert_eq!(decode::<Openings>(&long), Err(ControlError::Trailing("Openings")));
        }

        #[test]
        fn whatever_arrives_is_refused_or_is_said_again_with_the_same_meaning(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            if let Ok(said) = decode::<Openings>(&bytes) {
                prop_assert!(said.text.len() <= TEXT_MAX);
                prop_assert_eq!(decode::<Openings>(&body(&said)), Ok(said));
            }
        }
    }
}
