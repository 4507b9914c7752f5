//! What control frames carry: one postcard struct a type number.
//!
//! In the order in which they are seen: the device says [`Hello`], the node
//! answers [`Welcome`] and asks for a ticket with [`TicketAsk`]; the device
//! sends its ticket (type [`TICKET`], the struct is `ticket::Ticket`), the node
//! answers [`TicketAccepted`] once the ticket is on disk. From the moment at
//! which the ticket was validated, ports can be published ([`Publish`]) and
//! opened ([`Open`], answered by [`Opened`]), data flows as far as the receiver
//! has granted [`Credit`], and each direction ends with [`Finish`] or both at
//! once with [`Abort`]. [`Ping`] keeps the session alive, [`Close`] says why it
//! ends, [`ErrorAnswer`] refuses a request.
//!
//! A struct is frozen for its type number. Integers are postcard varints,
//! addresses 20 raw bytes; nothing here is signed.

use super::code::Code;
use super::frame::{control_header, CONTROL_MAX, DATA_HEADER_LEN};
use crate::identity::Address;
use postcard::ser_flavors::Flavor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Type number of `ticket::Ticket`, whose struct lives in the ticket room.
pub const TICKET: u8 = 0x04;

/// Longest port name in bytes; Diode's names (`tls:65535`) need nine.
pub const NAME_MAX: usize = 64;
/// Longest text of an error or a reason, in bytes.
pub const TEXT_MAX: usize = 256;
/// Longest program name in a Hello, in bytes.
pub const AGENT_MAX: usize = 64;
/// Most addresses in the list of one published port: 512 of them fit in one control frame.
pub const ALLOW_MAX: usize = 512;

/// A struct that travels in control frames of one type.
pub trait Message: Serialize + DeserializeOwned {
    /// The frame's type number.
    const KIND: u8;
    /// The struct's name in errors.
    const NAME: &'static str;
    /// The bounds that the types alone do not hold.
    ///
    /// # Errors
    /// The name of the field that is too long.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// Why a control frame's payload was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The payload is not this struct, or is cut short.
    Malformed(&'static str),
    /// Bytes are left over behind the struct.
    Trailing(&'static str),
    /// A field is longer than allowed.
    TooLong(&'static str, &'static str),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::Malformed(m) => write!(f, "malformed {m}"),
            ControlError::Trailing(m) => write!(f, "bytes left over behind {m}"),
            ControlError::TooLong(m, field) => write!(f, "{field} of {m} is too long"),
        }
    }
}

impl std::error::Error for ControlError {}

/// Appends `message` as one frame. A struct that would not fit in one is a bug
/// of ours (all of them are bounded by [`Message::check`]); it is left out.
pub fn encode<M: Message>(id: u32, message: &M, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; DATA_HEADER_LEN]);
    let written = postcard::serialize_with_flavor(message, Tail(out)).is_ok();
    close(out, start, written, M::NAME, (M::KIND, id));
}

/// Writes the header of the frame that begins at `start`. Not generic: what every
/// message needs stands here once.
fn close(out: &mut Vec<u8>, start: usize, written: bool, name: &str, (kind, id): (u8, u32)) {
    let len = out.len() - start - DATA_HEADER_LEN;
    debug_assert!(written && len + 4 <= CONTROL_MAX, "{name} too long");
    if !written || len + 4 > CONTROL_MAX {
        log::error!("{name} does not fit in a frame and was not sent");
        out.truncate(start);
        return;
    }
    if let Some(head) = out.get_mut(start..start + DATA_HEADER_LEN) {
        head.copy_from_slice(&control_header(kind, id, len));
    }
}

/// postcard wants a writer by value. (One with few bytes of code: it is called
/// for every field of every message.)
struct Tail<'a>(&'a mut Vec<u8>);

impl Flavor for Tail<'_> {
    type Output = ();

    #[inline(never)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(never)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Decodes a control frame's struct.
///
/// # Errors
/// The bytes are not exactly one `M` within its bounds.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, ControlError> {
    let Ok((message, rest)) = postcard::take_from_bytes::<M>(body) else {
        return Err(ControlError::Malformed(M::NAME));
    };
    if !rest.is_empty() {
        return Err(ControlError::Trailing(M::NAME));
    }
    match message.check() {
        Ok(()) => Ok(message),
        Err(field) => Err(ControlError::TooLong(M::NAME, field)),
    }
}

/// Cuts `text` to [`TEXT_MAX`] bytes at a character's edge.
#[must_use]
pub fn short_text(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

macro_rules! messages {
    ($($(#[$doc:meta])* $kind:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty $(, max $max:expr)?;)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl Message for $name {
            const KIND: u8 = $kind;
            const NAME: &'static str = stringify!($name);
            fn check(&self) -> Result<(), &'static str> {
                $($(if self.$field.len() > $max { return Err(stringify!($field)); })?)*
                Ok(())
            }
        })*
    };
}
pub(in crate::wire) use messages;

messages! {
    /// Device to node, first frame of a session.
    0x01 Hello {
        /// Capability bits ([`super::presence::CAPABILITY`]). The answer holds those that both sides know.
        capabilities: u64;
        /// Name and version of the program, for the node's log.
        agent: String, max AGENT_MAX;
    }
    /// Node to device, the answer to [`Hello`]: the terms of this session.
    0x02 Welcome {
        /// Capability bits that both sides know.
        capabilities: u64;
        /// Name and version of the node.
        agent: String, max AGENT_MAX;
        /// Chain that tickets must name.
        chain_id: u64;
        /// The node's epoch (unix time / 2,592,000); 0 when its clock is not trusted.
        epoch: u64;
        /// The node's clock, unix seconds; 0 when not trusted.
        unix_time: u64;
        /// Fleet that tickets name unless the device has its own.
        fleet: Address;
        /// Whether ports need a ticket.
        tickets_required: bool;
        /// Bytes that may be relayed beyond a ticket's total before ports pause.
        grace_bytes: u64;
        /// Seconds without a frame after which the node closes the session.
        idle_timeout: u32;
        /// Most ports open at once in this session.
        max_ports: u32;
    }
    /// Node to device, id 0: send a ticket for this epoch that covers this usage.
    0x03 TicketAsk {
        /// Epoch that the ticket should name.
        epoch: u64;
        /// Whether the node trusts its clock. If not, a device that trusts its own
        /// names its own epoch.
        epoch_known: bool;
        /// Port payload bytes that the ticket must cover.
        usage: u64;
    }
    /// Node to device, the answer to a ticket.
    0x05 TicketAccepted {
        /// The ticket's epoch.
        epoch: u64;
        /// Bytes paid for in that epoch.
        total_bytes: u64;
        /// Bytes counted at acceptance.
        usage: u64;
        /// The ticket is on disk. False: the node's disk failed, and it relays up to the grace.
        durable: bool;
    }
    /// Either way: answer with [`Pong`].
    0x06 Ping {}
    /// The answer to [`Ping`].
    0x07 Pong {}
    /// Either way, id 0, last frame: the session ends.
    0x08 Close {
        /// Why.
        code: Code;
        /// Why, for people.
        text: String, max TEXT_MAX;
        /// Milliseconds after which to come back; none: no wish.
        retry_after_ms: Option<u32>;
    }
    /// The answer that refuses a request.
    0x09 ErrorAnswer {
        /// Why.
        code: Code;
        /// Why and what to do, for people.
        text: String, max TEXT_MAX;
        /// The limit that was met, where it was one.
        limit: Option<u64>;
        /// Milliseconds after which trying again makes sense.
        retry_after_ms: Option<u32>;
    }
    /// Node to device, the answer to a ticket that covers too little.
    0x0a TicketTooLow {
        /// Port payload bytes counted for the device.
        usage: u64;
        /// Highest total that was accepted in that epoch and fleet.
        last_total: u64;
    }
    /// Either way, id 0: the sender will take this many more raw bytes on the port.
    0x11 Credit {
        /// Port number.
        port: u32;
        /// Bytes in addition to what was granted before.
        bytes: u32;
    }
    /// Device to node: connect me to a published port. Node to the publishing
    /// device: somebody wants your port. The sender chooses the number, higher
    /// than all that it chose before in this session.
    0x12 Open {
        /// Port number for both directions: odd from a device, even from a node.
        port: u32;
        /// From the opener: the publishing device. To the publisher: the opener.
        peer: Address;
        /// See [`is_port_name`].
        name: String, max NAME_MAX;
        /// Raw bytes that the sender takes before it grants more.
        credit: u32;
    }
    /// The answer to [`Open`]: the port stands.
    0x13 Opened {
        /// Raw bytes that the answering side takes before it grants more.
        credit: u32;
    }
    /// Either way, id 0: no more data will come on this port from here.
    0x14 Finish {
        /// Port number.
        port: u32;
    }
    /// Either way, id 0: the port is gone in both directions, queued data with it.
    0x15 Abort {
        /// Port number.
        port: u32;
        /// Why.
        code: Code;
        /// Why, for people.
        text: String, max TEXT_MAX;
    }
    /// Device to node: others may open this port of mine.
    0x16 Publish {
        /// See [`is_port_name`]; publishing a name again replaces its list.
        name: String, max NAME_MAX;
        /// Who may open it. `None`: the node asks the device about everyone. The
        /// device decides in any case; the list only spares it strangers.
        allow: Option<Vec<Address>>;
    }
    /// The answer to [`Publish`].
    0x17 Published {}
}

/// Whether a list of openers fits in one [`Publish`].
#[must_use]
pub fn allow_list_fits(list: &[Address]) -> bool {
    list.len() <= ALLOW_MAX
}

/// The port on which a device takes messages: TLS from device to device inside,
/// as in `tls:` ports.
pub const MESSAGES: &str = "msg";

/// What a port name is, for those who sent another.
pub const PORT_NAMES: &str =
    "a port name is tls:N, tcp:N, udp:N or utls:N with N from 1 to 65535, or msg";

/// Whether `name` is a port name: one of four kinds with a decimal number of 1
/// to 65535, or [`MESSAGES`].
#[must_use]
pub fn is_port_name(name: &str) -> bool {
    let Some((kind, number)) = name.split_once(':') else {
        return name == MESSAGES;
    };
    matches!(kind, "tls" | "tcp" | "udp" | "utls")
        && number.len() <= 5
        && !number.starts_with('0')
        && number.bytes().all(|b| b.is_ascii_digit())
        && number.parse::<u16>().is_ok()
}

/// Whether data frames of this port are datagrams, each with its own edges.
#[must_use]
pub fn is_datagram_port(name: &str) -> bool {
    name.starts_with("udp:")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::super::frame::{Decoder, Piece};
    use super::*;
    use proptest::prelude::*;

    fn round_trip<M: Message + PartialEq + fmt::Debug>(m: &M) {
        let mut out = vec![9];
        encode(77, m, &mut out);
        let mut d = Decoder::new();
        let mut input = &out[1..];
        match d.next(&mut input).unwrap().unwrap() {
            Piece::Control { kind, id, body } => {
                assert_eq!((kind, id), (M::KIND, 77));
                assert_eq!(&decode::<M>(body).unwrap(), m);
                for cut in 0..body.len() {
                    assert!(decode::<M>(&body[..cut]).is_err(), "cut at {cut}");
                }
                let mut long = body.to_vec();
                long.push(0);
                assert_eq!(decode::<M>(&long), Err(ControlError::Trailing(M::NAME)));
            }
            p @ Piece::Data { .. } => panic!("{p:?}"),
        }
    }

    proptest! {
        #[test]
        fn every_struct_round_trips_and_refuses_cuts_and_trailing_bytes(
            a in any::<u64>(), b in any::<u32>(), c in any::<u16>(), on in any::<bool>(),
            text in "[a-zäß ]{0,60}", addr in any::<[u8; 20]>(), list in proptest::option::of(proptest::collection::vec(any::<[u8; 20]>(), 0..20)),
        ) {
            let address = Address(addr);
            round_trip(&Hello { capabilities: a, agent: short(&text) });
            round_trip(&Welcome { capabilities: a, agent: short(&text), chain_id: a, epoch: a, unix_time: a, fleet: address,
                tickets_required: on, grace_bytes: a, idle_timeout: b, max_ports: b });
            round_trip(&TicketAsk { epoch: a, epoch_known: on, usage: a });
            round_trip(&TicketAccepted { epoch: a, total_bytes: a, usage: a, durable: on });
            round_trip(&Close { code: Code(c), text: text.clone(), retry_after_ms: on.then_some(b) });
            round_trip(&ErrorAnswer { code: Code(c), text: text.clone(), limit: on.then_some(a), retry_after_ms: Some(b) });
            round_trip(&TicketTooLow { usage: a, last_total: a });
            round_trip(&Credit { port: b, bytes: b });
            round_trip(&Open { port: b, peer: address, name: "tls:80".into(), credit: b });
            round_trip(&Opened { credit: b });
            round_trip(&Finish { port: b });
            round_trip(&Abort { port: b, code: Code(c), text });
            round_trip(&Publish { name: "udp:53".into(), allow: list.map(|l| l.into_iter().map(Address).collect()) });
        }

        #[test]
        fn arbitrary_payloads_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode::<Welcome>(&bytes);
            let _ = decode::<Publish>(&bytes);
            let _ = decode::<Close>(&bytes);
        }

        #[test]
        fn texts_are_cut_at_a_characters_edge(text in "\\PC{0,400}") {
            let cut = short_text(&text);
            prop_assert!(cut.len() <= TEXT_MAX && text.starts_with(&cut));
        }
    }

    fn short(s: &str) -> String {
        s.chars().take(20).collect()
    }

    #[test]
    fn a_name_longer_than_allowed_is_refused() {
        let m = Open {
            port: 1,
            peer: Address::default(),
            name: "x".repeat(NAME_MAX + 1),
            credit: 1,
        };
        let mut out = Vec::new();
        encode(1, &m, &mut out);
        assert_eq!(
            decode::<Open>(&out[DATA_HEADER_LEN..]),
            Err(ControlError::TooLong("Open", "name"))
        );
    }

    #[test]
    fn the_longest_list_of_openers_fits_in_a_frame() {
        let m = Publish {
            name: "t".repeat(NAME_MAX),
            allow: Some(vec![Address([255; 20]); ALLOW_MAX]),
        };
        let mut out = Vec::new();
        encode(u32::MAX, &m, &mut out);
        assert!(out.len() > DATA_HEADER_LEN + ALLOW_MAX * 20);
    }

    #[test]
    fn only_diodes_four_kinds_of_port_names_and_msg_are_names() {
        for good in ["tls:1", "tcp:65535", "udp:53", "utls:5060", "msg"] {
            assert!(is_port_name(good), "{good}");
        }
        for bad in [
            "",
            "tls",
            "tls:",
            "tls:0",
            "tls:080",
            "tls:65536",
            "TLS:80",
            "tls:80 ",
            "http:80",
            "tls:+80",
            "msg:1",
            "msg:",
            "MSG",
        ] {
            assert!(!is_port_name(bad), "{bad}");
        }
    }
}
