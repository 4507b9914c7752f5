//! Valid frames of any type, with ids and ports of a small range so that they meet.

use crate::{Input, UNIX};
use chr_node::identity::{Address, Signature};
use chr_node::wire::code::Code;
use chr_node::wire::control::{
    encode, Abort, Close, Credit, ErrorAnswer, Finish, Hello, Open, Opened, Ping, Pong, Publish,
    Published, TicketAccepted, TicketAsk, TicketTooLow, Welcome,
};
use chr_node::wire::frame::data_header;
use chr_node::wire::notice::Openings;
use chr_node::wire::presence::{PresenceAsk, PresenceSigned, PresenceTaken};

/// Port names that sessions publish and open.
pub const NAMES: [&str; 5] = ["tcp:1", "udp:1", "tls:80", "utls:9", "msg"];

/// Credits that matter: none, less than a chunk, a chunk, a window, all.
const CREDITS: [u32; 6] = [0, 1, 1000, 16_384, 65_536, u32::MAX];

/// Lengths of data frames around the edges of chunks, windows and frames.
const LENGTHS: [usize; 8] = [0, 1, 7, 200, 1_400, 16_372, 16_384, 65_532];

/// Most bytes of data frames in one run: more only take time.
const DATA_BUDGET: usize = 600_000;

/// What a run has used of [`DATA_BUDGET`].
#[derive(Default)]
pub struct Spent(usize);

/// A number that was used with luck: mostly below 16, of any parity.
fn number(input: &mut Input) -> u32 {
    match input.byte() {
        255 => input.u32(),
        n => u32::from(n % 24),
    }
}

/// Appends data for some port.
pub fn data(input: &mut Input, spent: &mut Spent, out: &mut Vec<u8>) {
    static ZEROS: [u8; 65_532] = [0; 65_532];
    let port = number(input);
    let len = input.pick(&LENGTHS);
    spent.0 += len;
    if spent.0 <= DATA_BUDGET {
        out.extend_from_slice(&data_header(port, len));
        out.extend_from_slice(&ZEROS[..len]);
    }
}

/// Appends a frame that both sides may send.
pub fn either(input: &mut Input, out: &mut Vec<u8>) {
    let kind = input.byte() % 10;
    let id = number(input);
    let text = String::new();
    match kind {
        0 => encode(id, &Ping {}, out),
        1 => encode(id, &Pong {}, out),
        2 => {
            let credit = input.pick(&CREDITS);
            encode(id, &Opened { credit }, out);
        }
        3 | 4 => {
            let bytes = input.pick(&CREDITS);
            encode(0, &Credit { port: id, bytes }, out);
        }
        5 | 6 => encode(0, &Finish { port: id }, out),
        7 => {
            let code = Code(u16::from(input.byte()));
            encode(0, &Abort { port: id, code, text }, out);
        }
        8 => {
            let error = ErrorAnswer {
                code: Code(u16::from(input.byte())),
                text,
                limit: None,
                retry_after_ms: None,
            };
            encode(id, &error, out);
        }
        _ => {
            let close = Close {
                code: Code(u16::from(input.byte())),
                text,
                retry_after_ms: None,
            };
            encode(0, &close, out);
        }
    }
}

/// Appends an Open by `peer`, mostly with the next number.
pub fn open(input: &mut Input, next: &mut u32, peer: Address, out: &mut Vec<u8>) {
    let choice = input.byte();
    let port = if choice < 240 {
        *next
    } else {
        number(input)
    };
    let open = Open {
        port,
        peer,
        name: NAMES[usize::from(choice) % NAMES.len()].to_owned(),
        credit: input.pick(&CREDITS),
    };
    *next = next.wrapping_add(2);
    encode(port, &open, out);
}

/// Times around the present, and the ends of the range.
fn time(input: &mut Input) -> u64 {
    match input.byte() {
        0 => 0,
        1 => u64::MAX,
        n => UNIX + 500 * u64::from(n) - 20_000,
    }
}

/// Appends what only a device sends; tickets and signatures that hold come from
/// elsewhere.
pub fn device(input: &mut Input, others: &[Address], out: &mut Vec<u8>) {
    let kind = input.byte() % 5;
    let id = number(input);
    if kind == 0 {
        let hello = Hello {
            capabilities: u64::from(input.byte()),
            agent: String::new(),
        };
        return encode(id, &hello, out);
    }
    if kind == 4 {
        let signed = PresenceSigned {
            t: time(input),
            not_after: time(input),
            signature: Signature([input.byte(); 65]),
        };
        return encode(id, &signed, out);
    }
    let allow = match input.byte() % 3 {
        0 => Some(others.to_vec()),
        1 => Some(Vec::new()),
        _ => None,
    };
    let name = input.pick(&NAMES).to_owned();
    encode(id, &Publish { name, allow }, out);
}

/// Appends what only a node sends.
pub fn node(input: &mut Input, out: &mut Vec<u8>) {
    let kind = input.byte() % 8;
    let id = number(input);
    let epoch = 675 + u64::from(input.byte() % 4);
    let usage = u64::from(input.u32());
    match kind {
        0 => {
            let welcome = Welcome {
                capabilities: u64::from(input.byte()),
                agent: String::new(),
                chain_id: 1284,
                epoch,
                unix_time: usage,
                fleet: Address::ZERO,
                tickets_required: input.byte() & 1 == 1,
                grace_bytes: usage,
                idle_timeout: 300,
                max_ports: 16,
            };
            encode(id, &welcome, out);
        }
        1 => {
            let ask = TicketAsk {
                epoch,
                epoch_known: input.byte() & 1 == 1,
                usage,
            };
            encode(id, &ask, out);
        }
        2 => {
            let accepted = TicketAccepted {
                epoch,
                total_bytes: usage,
                usage,
                durable: true,
            };
            encode(id, &accepted, out);
        }
        3 => {
            let low = TicketTooLow {
                usage,
                last_total: u64::from(input.u32()),
            };
            encode(id, &low, out);
        }
        4 => {
            let ask = PresenceAsk {
                last_t: time(input),
                unix_time: time(input),
            };
            encode(0, &ask, out);
        }
        5 => encode(id, &PresenceTaken {}, out),
        6 => {
            let said = Openings {
                open: input.byte() & 1 == 1,
                code: Code::LOW_POWER,
                text: "empty".to_owned(),
                retry_after_ms: Some(input.u32()),
            };
            encode(0, &said, out);
        }
        _ => encode(id, &Published {}, out),
    }
}
