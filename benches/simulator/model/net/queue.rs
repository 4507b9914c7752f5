//! What happens next: a binary heap of moments over a slab of datagrams.
//!
//! A heap entry is 24 bytes and a datagram in flight lives in a slot that is
//! used again, so that an event costs no allocation but the datagram's own,
//! which the engine made. Entries of the same moment come out in the order in
//! which they went in: one seed, one run.

use chr_node::time::Moment;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

/// A datagram on its way.
pub struct Flight {
    /// The machine that it was sent by, for counting.
    pub sender: usize,
    /// The machine behind `to` when it was sent.
    pub receiver: usize,
    /// Its source as the receiver sees it.
    pub from: SocketAddr,
    /// Where it was sent to, which decides whether a NAT lets it in.
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What is due.
pub enum Event {
    /// A datagram reached the machine (or its NAT).
    Arrival(Flight),
    /// The engine of a machine asked to be woken.
    Timer(usize),
    /// Something that the scenario planned, by its own number.
    Plan(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arrival,
    Timer,
    Plan,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Moment,
    order: u64,
    index: u32,
    kind: Kind,
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All that will happen.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Entry>,
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
    order: u64,
}

impl Queue {
    pub fn arrival(&mut self, at: Moment, flight: Flight) {
        let index = match self.free.pop() {
            Some(index) => {
                self.flights[index as usize] = Some(flight);
                index
            }
            None => {
                self.flights.push(Some(flight));
                (self.flights.len() - 1) as u32
            }
        };
        self.push(at, Kind::Arrival, index);
    }

    pub fn timer(&mut self, at: Moment, machine: usize) {
        self.push(at, Kind::Timer, machine as u32);
    }

    pub fn plan(&mut self, at: Moment, number: u32) {
        self.push(at, Kind::Plan, number);
    }

    fn push(&mut self, at: Moment, kind: Kind, index: u32) {
        self.order += 1;
        self.heap.push(Entry {
            at,
            order: self.order,
            index,
            kind,
        });
    }

    /// The next event that is due at `end` or before.
    pub fn pop(&mut self, end: Moment) -> Option<(Moment, Event)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        let entry = self.heap.pop()?;
        let event = match entry.kind {
            Kind::Timer => Event::Timer(entry.index as usize),
            Kind::Plan => Event::Plan(entry.index),
            Kind::Arrival => {
                self.free.push(entry.index);
                let flight = self.flights[entry.index as usize].take();
                Event::Arrival(flight.expect("a slot is emptied once"))
            }
        };
        Some((entry.at, event))
    }
}
