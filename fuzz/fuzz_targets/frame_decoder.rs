//! The frame decoder: any bytes in any pieces give the same frames, or the same
//! error; what was decoded encodes to the bytes that it came from.
#![no_main]

use chr_node::wire::control::{
    decode, encode, Abort, Close, Credit, ErrorAnswer, Finish, Hello, Message, Open, Opened, Ping,
    Pong, Publish, Published, TicketAccepted, TicketAsk, TicketTooLow, Welcome,
};
use chr_node::wire::frame::{
    control_header, data_header, Decoder, FrameError, Piece, CONTROL_MAX, DATA, DATA_BYTES_MAX,
    TYPE_END,
};
use chr_node::wire::notice::Openings;
use chr_node_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// Frames written out again; the last data frame may be incomplete.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    /// Where the frame begins whose data is still coming, and its port.
    open: Option<(usize, u32)>,
    error: Option<FrameError>,
}

impl Seen {
    fn feed(&mut self, decoder: &mut Decoder, mut input: &[u8]) {
        while self.error.is_none() {
            let before = input.len();
            match decoder.next(&mut input) {
                Err(error) => self.error = Some(error),
                Ok(None) => {
                    assert!(input.is_empty());
                    return;
                }
                Ok(Some(Piece::Control { kind, id, body })) => {
                    assert!(self.open.is_none(), "a control frame inside of a data frame");
                    assert!(kind != 0 && kind < TYPE_END && kind != DATA);
                    assert!(body.len() + 4 <= CONTROL_MAX);
                    self.bytes.extend(control_header(kind, id, body.len()));
                    self.bytes.extend(body);
                    understand(kind, body);
                }
                Ok(Some(Piece::Data {
                    port,
                    bytes,
                    first,
                    last,
                })) => {
                    assert_eq!(first, self.open.is_none());
                    let start = match self.open {
                        Some((start, same)) => {
                            assert_eq!(port, same);
                            start
                        }
                        None => {
                            self.bytes.extend(data_header(port, 0));
                            self.bytes.len()
                        }
                    };
                    self.bytes.extend(bytes);
                    let len = self.bytes.len() - start;
                    assert!(len <= DATA_BYTES_MAX);
                    assert!(last || !bytes.is_empty(), "nothing, again and again");
                    self.open = (!last).then_some((start, port));
                    if last {
                        let header = data_header(port, len);
                        self.bytes[start - header.len()..start].copy_from_slice(&header);
                    }
                }
            }
            assert!(input.len() <= before);
        }
    }
}

/// Decodes the struct, and what was understood a second time from our own bytes.
fn understand(kind: u8, body: &[u8]) {
    fn both<M: Message + PartialEq + std::fmt::Debug>(body: &[u8]) {
        let Ok(message) = decode::<M>(body) else {
            return;
        };
        let mut frame = Vec::new();
        encode(1, &message, &mut frame);
        let again = decode::<M>(&frame[12..]);
        assert_eq!(again.as_ref(), Ok(&message));
    }
    match kind {
        Hello::KIND => both::<Hello>(body),
        Welcome::KIND => both::<Welcome>(body),
        TicketAsk::KIND => both::<TicketAsk>(body),
        TicketAccepted::KIND => both::<TicketAccepted>(body),
        Ping::KIND => both::<Ping>(body),
        Pong::KIND => both::<Pong>(body),
        Close::KIND => both::<Close>(body),
        ErrorAnswer::KIND => both::<ErrorAnswer>(body),
        TicketTooLow::KIND => both::<TicketTooLow>(body),
        Openings::KIND => both::<Openings>(body),
        Credit::KIND => both::<Credit>(body),
        Open::KIND => both::<Open>(body),
        Opened::KIND => both::<Opened>(body),
        Finish::KIND => both::<Finish>(body),
        Abort::KIND => both::<Abort>(body),
        Publish::KIND => both::<Publish>(body),
        Published::KIND => both::<Published>(body),
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let cuts = input.byte() % 8;
    let cuts: Vec<usize> = (0..cuts).map(|_| usize::from(input.byte()) + 1).collect();
    let stream = input.0;

    let mut whole = Seen::default();
    whole.feed(&mut Decoder::new(), stream);
    // What was decoded is a prefix of what came, up to a header or an unfinished body.
    let done = match whole.open {
        // The header of an unfinished data frame was written with length 0.
        Some((start, _)) => start - 12,
        None => whole.bytes.len(),
    };
    assert_eq!(whole.bytes[..done], stream[..done]);

    let mut pieces = Seen::default();
    let mut decoder = Decoder::new();
    let mut rest = stream;
    let mut cut = cuts.iter().cycle();
    while !rest.is_empty() {
        let n = cut.next().copied().unwrap_or(usize::MAX).min(rest.len());
        pieces.feed(&mut decoder, &rest[..n]);
        rest = &rest[n..];
    }
    assert_eq!(whole.bytes, pieces.bytes);
    assert_eq!(whole.error, pieces.error);
});
