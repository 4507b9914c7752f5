//! Tickets as they arrive: the decoder, the hints, the rules, and the account
//! that a valid one pays on.
#![no_main]

use chr_node::identity::{Address, Signature};
use chr_node::ticket::{
    Book, Durability, EpochClock, FleetRule, Hints, LocalAddress, Policy, Rules, Standing, Ticket,
    TicketTerms, MAX_LOCAL_ADDRESS,
};
use chr_node::time::Moment;
use chr_node::wire::control::{decode, encode};
use chr_node_fuzz::{key, node, Input};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

/// Totals that tickets signed in advance are for.
const TOTALS: [u64; 4] = [0, 1 << 20, 1 << 30, 1 << 50];

/// Signed by the device for epochs 675 and 676: signing in each run would be most of it.
fn signed() -> &'static [Ticket] {
    static SIGNED: OnceLock<Vec<Ticket>> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let of = |epoch: u64| {
            TOTALS.map(|total_bytes| {
                let terms = TicketTerms {
                    chain_id: 1284,
                    epoch,
                    fleet: Address::ZERO,
                    total_connections: 1,
                    total_bytes,
                    local_address: Vec::new(),
                };
                Ticket::sign(&key(1), &node(), terms)
            })
        };
        [of(675), of(676)].concat()
    })
}

fn device() -> Address {
    static DEVICE: OnceLock<Address> = OnceLock::new();
    *DEVICE.get_or_init(|| key(1).address())
}

fn clock(input: &mut Input) -> EpochClock {
    match input.byte() % 4 {
        0 => EpochClock::Trusted(675),
        1 => EpochClock::Untrusted { floor: 676 },
        2 => EpochClock::Trusted(u64::from(input.u32())),
        _ => EpochClock::Trusted(676),
    }
}

fn rules(listed: bool) -> Rules {
    let rule = FleetRule {
        fleet: Address([1; 20]),
        device: Some(Address([2; 20])),
    };
    Rules {
        node: node(),
        chain_id: 1284,
        fleets: if listed { vec![rule] } else { Vec::new() },
    }
}

/// Bytes as they come in a frame.
fn arrived(input: &mut Input) {
    let (clock, listed) = (clock(input), input.byte() & 1 == 1);
    let Ok(ticket) = decode::<Ticket>(input.0) else {
        return;
    };
    let mut frame = Vec::new();
    encode(1, &ticket, &mut frame);
    assert_eq!(decode::<Ticket>(&frame[12..]).as_ref(), Ok(&ticket));
    if let Ok(LocalAddress::Hints(hints)) = LocalAddress::parse(&ticket.local_address) {
        if let Ok(bytes) = hints.to_bytes() {
            assert_eq!(LocalAddress::parse(&bytes), Ok(LocalAddress::Hints(hints)));
        }
    }
    assert!(ticket.local_address.len() <= MAX_LOCAL_ADDRESS);
    let standing = Standing::default();
    if let Ok(valid) = rules(listed).validate(ticket, device(), clock, |_, _| Ok(standing)) {
        // Nobody forges a signature by chance.
        assert!(signed().contains(valid.ticket()));
    }
}

/// A ticket by its fields: reaches every step.
fn by_fields(input: &mut Input) {
    let (clock, listed) = (clock(input), input.byte() & 1 == 1);
    let mut signature = [0; 65];
    signature[0] = input.byte() % 4;
    let half = input.take(64);
    signature[1..=half.len()].copy_from_slice(half);
    let hints = Hints {
        relays: vec![Address([3; 20]); usize::from(input.byte() % 30)],
        time: Some(input.u64()),
        fleets: vec![Address([4; 20]); usize::from(input.byte() % 4)],
        payment: None,
    };
    let ticket = Ticket {
        chain_id: input.pick(&[1284, 1284, 1284, 0]),
        epoch: input.pick(&[676, 675, 674, 677]),
        fleet: input.pick(&[Address::ZERO, Address([1; 20])]),
        total_connections: input.u64(),
        total_bytes: input.u64(),
        local_address: hints.to_bytes().unwrap_or_default(),
        signature: Signature(signature),
    };
    let standing = Standing {
        usage: input.u64(),
        last_total: input.u64(),
    };
    let outcome = rules(listed).validate(ticket, device(), clock, |_, _| Ok(standing));
    if let Err(refusal) = outcome {
        assert!((100..200).contains(&refusal.code()));
        assert!(refusal.to_string().len() < 256);
    }
}

/// An account: what passes the rules pays, whatever the order.
fn account(input: &mut Input) {
    let policy = Policy {
        grace: input.pick(&[0, 40 << 20]),
        required: input.byte() & 3 != 0,
    };
    let book = Book::new(None, rules(false), policy, Address::ZERO);
    let tab = book.open(device(), None);
    let mut now = Moment(1);
    let mut charged = 0u64;
    let mut tickets = 0;
    while !input.is_empty() {
        match input.byte() % 5 {
            0 | 1 => {
                let bytes = input.pick(&[0, 1, 65_536, 1 << 20, 16 << 20, 1 << 40]);
                charged += bytes;
                tab.charge(bytes, 1);
            }
            2 => now.0 += input.pick(&[1, 50_000_000, 1_000_000_000, 20_000_000_000]),
            // Checking a signature takes as long as a thousand other steps.
            3 if tickets < 2 => {
                tickets += 1;
                let ticket = signed()[usize::from(input.byte()) % signed().len()].clone();
                let total = ticket.total_bytes;
                if let Ok(accepted) = tab.submit(ticket, now, clock(input)) {
                    assert!(accepted.total >= total.min(accepted.usage));
                    assert!(matches!(accepted.durability, Durability::Never));
                }
            }
            _ => {
                let todo = tab.advance(now, clock(input));
                assert!(policy.required || (todo.ask.is_none() && !todo.paused));
                assert!(!todo.cut_off || todo.paused);
                assert!(todo.deadline.is_none_or(|at| at > now));
            }
        }
        assert!(tab.usage_and_total().0 <= charged);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 | 1 => arrived(&mut input),
        2 => by_fields(&mut input),
        _ => account(&mut input),
    }
});
