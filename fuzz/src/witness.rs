//! Reads both directions of a session and knows what our side must not do,
//! whatever the other side does.

use chr_node::wire::control::{
    decode, Abort, Close, Credit, ErrorAnswer, Finish, Hello, Message, Open, Opened, Ping, Pong,
    Publish, Published, TicketAccepted, TicketAsk, TicketTooLow, Welcome, TICKET,
};
use chr_node::wire::frame::{Decoder, Piece};
use chr_node::wire::notice::Openings;
use chr_node::wire::peer::{PeerHello, PeerOpen, PeerWelcome};
use chr_node::wire::presence::{PresenceAsk, PresenceSigned, PresenceTaken};
use std::collections::BTreeMap;

/// One session as its bytes show it.
pub struct Witness {
    ours_even: bool,
    between_nodes: bool,
    heard: Decoder,
    said: Decoder,
    ports: BTreeMap<u32, Seen>,
    highest: u32,
}

#[derive(Default)]
struct Seen {
    /// Granted by the other side and not used by ours.
    credit: u64,
    /// Our side sent Finish or Abort.
    ended: bool,
    /// Our side sent Abort.
    gave_up: bool,
    /// The other side sent Abort.
    aborted: bool,
}

impl Witness {
    /// `ours_even`: our side is the node.
    pub fn new(ours_even: bool) -> Witness {
        Witness {
            ours_even,
            between_nodes: false,
            heard: Decoder::new(),
            said: Decoder::new(),
            ports: BTreeMap::new(),
            highest: 0,
        }
    }

    /// The same for a link between nodes; `ours_even`: the other side has dialled.
    pub fn between_nodes(ours_even: bool) -> Witness {
        Witness {
            between_nodes: true,
            ..Witness::new(ours_even)
        }
    }

    /// Bytes that our side took without an objection.
    pub fn hear(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(piece)) = self.heard.next(&mut bytes) {
            let Piece::Control { kind, id, body } = piece else {
                continue;
            };
            let (port, more) = match kind {
                Open::KIND => match decode::<Open>(body) {
                    Ok(open) => (open.port, open.credit),
                    Err(_) => continue,
                },
                PeerOpen::KIND => match decode::<PeerOpen>(body) {
                    Ok(open) => (open.port, open.credit),
                    Err(_) => continue,
                },
                Opened::KIND => match decode::<Opened>(body) {
                    Ok(opened) => (id, opened.credit),
                    Err(_) => continue,
                },
                Credit::KIND => match decode::<Credit>(body) {
                    Ok(credit) => (credit.port, credit.bytes),
                    Err(_) => continue,
                },
                Abort::KIND => {
                    if let Ok(abort) = decode::<Abort>(body) {
                        self.ports.entry(abort.port).or_default().aborted = true;
                    }
                    continue;
                }
                _ => continue,
            };
            self.ports.entry(port).or_default().credit += u64::from(more);
        }
    }

    /// Bytes that our side sends.
    pub fn say(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.said.next(&mut bytes).expect("our frames are well-formed") {
            match piece {
                Piece::Data { port, bytes, .. } => {
                    let seen = self.ports.entry(port).or_default();
                    assert!(!seen.ended, "data on port {port} after its end");
                    assert!(!seen.aborted, "data on port {port}, which was given up");
                    let left = seen.credit.checked_sub(bytes.len() as u64);
                    seen.credit = left.expect("more data than the other side granted");
                }
                Piece::Control { kind, id, body } => {
                    if self.between_nodes {
                        check_between_nodes(kind, body);
                    } else {
                        check(self.ours_even, kind, body);
                    }
                    match kind {
                        Open::KIND | PeerOpen::KIND => {
                            let port = if kind == Open::KIND {
                                decode::<Open>(body).unwrap().port
                            } else {
                                decode::<PeerOpen>(body).unwrap().port
                            };
                            assert_eq!(port % 2 == 0, self.ours_even, "port {port}");
                            assert!(port > self.highest, "port {port} after {}", self.highest);
                            assert_eq!(id, port);
                            self.highest = port;
                        }
                        Finish::KIND => {
                            let port = decode::<Finish>(body).unwrap().port;
                            let seen = self.ports.entry(port).or_default();
                            assert!(!seen.ended && !seen.aborted, "Finish after the end");
                            seen.ended = true;
                        }
                        Abort::KIND => {
                            let port = decode::<Abort>(body).unwrap().port;
                            let seen = self.ports.entry(port).or_default();
                            // The other side's may cross with ours, which waited already.
                            assert!(!seen.gave_up, "a second Abort");
                            seen.gave_up = true;
                            seen.ended = true;
                        }
                        Credit::KIND => {
                            let port = decode::<Credit>(body).unwrap().port;
                            let seen = self.ports.entry(port).or_default();
                            assert!(!seen.aborted, "Credit for a port that was given up");
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

fn is<M: Message>(body: &[u8]) -> bool {
    decode::<M>(body).is_ok()
}

/// What both kinds of sessions have.
fn is_common(kind: u8, body: &[u8]) -> bool {
    match kind {
        Ping::KIND => is::<Ping>(body),
        Pong::KIND => is::<Pong>(body),
        Close::KIND => is::<Close>(body),
        ErrorAnswer::KIND => is::<ErrorAnswer>(body),
        Credit::KIND => is::<Credit>(body),
        Opened::KIND => is::<Opened>(body),
        Finish::KIND => is::<Finish>(body),
        Abort::KIND => is::<Abort>(body),
        _ => false,
    }
}

/// Our side sends nothing that its own decoder would refuse, nor what is not for the other side.
fn check(from_node: bool, kind: u8, body: &[u8]) {
    let fine = match kind {
        Open::KIND => is::<Open>(body),
        Welcome::KIND => from_node && is::<Welcome>(body),
        TicketAsk::KIND => from_node && is::<TicketAsk>(body),
        TicketAccepted::KIND => from_node && is::<TicketAccepted>(body),
        Openings::KIND => from_node && is::<Openings>(body),
        TicketTooLow::KIND => from_node && is::<TicketTooLow>(body),
        Published::KIND => from_node && is::<Published>(body),
        PresenceAsk::KIND => from_node && is::<PresenceAsk>(body),
        PresenceTaken::KIND => from_node && is::<PresenceTaken>(body),
        PresenceSigned::KIND => !from_node && is::<PresenceSigned>(body),
        Hello::KIND => !from_node && is::<Hello>(body),
        Publish::KIND => !from_node && is::<Publish>(body),
        TICKET => !from_node && is::<chr_node::ticket::Ticket>(body),
        _ => is_common(kind, body),
    };
    assert!(fine, "a frame of type {kind:#04x} that the other side refuses: {body:02x?}");
}

/// The same between nodes.
fn check_between_nodes(kind: u8, body: &[u8]) {
    let fine = match kind {
        PeerHello::KIND => is::<PeerHello>(body),
        PeerWelcome::KIND => is::<PeerWelcome>(body),
        PeerOpen::KIND => is::<PeerOpen>(body),
        _ => is_common(kind, body),
    };
    assert!(fine, "a frame of type {kind:#04x} that the other node refuses: {body:02x?}");
}
