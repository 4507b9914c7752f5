//! The routing table: 160 buckets of k nodes (Maymounkov and Mazières 2002,
//! section 2.2), one for each number of leading bits that a node's id may share
//! with ours.
//!
//! A node enters when it has proven its id over its address, serves, and its
//! bucket has room and not too many of its network ([`super::subnet`]). Nobody is
//! thrown out for a newcomer: the newcomer waits among the bucket's *spares* (the
//! paper's replacement cache, section 4.1), the caller asks the node that was not
//! heard of for the longest time, and only when that one stays silent a spare is
//! asked to take its place. So whoever wants to take over a table has to wait for
//! honest nodes to leave.
//!
//! Buckets are allocated as they are needed, peers one by one: a small network
//! costs little memory.

use super::id::{closer, distance, share, shared_bits, BITS};
use super::peer::{Peer, MISSED_MAX};
use super::subnet::Tally;
use crate::identity::Address;
use crate::sorted;
use crate::time::Moment;
use crate::wire::dht::Contact;
use std::time::Duration;

/// Nodes that wait for a place in a bucket. Less than k: in a bucket that loses
/// more between two looks, lookups bring new ones.
const SPARES_MAX: usize = 8;
/// A full bucket's oldest node is asked whether it lives when a newcomer waits and
/// nothing was heard of it for this long: half of what a home router's NAT
/// commonly keeps a mapping for anyway.
const DOUBT: Duration = Duration::from_secs(120);

/// A node that waits for a place.
#[derive(Clone, Copy, Debug)]
struct Spare {
    contact: Contact,
    /// It has spoken for itself; otherwise another node has named it.
    proven: bool,
}

/// Nodes at one distance, in the order in which they were heard of, the latest last.
#[derive(Clone, Debug, Default)]
struct Bucket {
    peers: Vec<Peer>,
    spares: Vec<Spare>,
}

/// What became of a node that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It has a place already.
    Known,
    /// It has one now.
    Added,
    /// It waits for one. The caller asks this node whether it is still there.
    Waits(Option<Contact>),
    /// It is ourselves.
    Refused,
}

/// What became of a node that did not answer.
#[derive(Clone, Debug)]
pub enum Silence {
    /// It is not in the table.
    Unknown,
    /// It keeps its place for now; to be asked again.
    Doubted,
    /// It has lost its place. The spare, if there is one, is to be asked whether it
    /// wants it.
    Left(Box<Peer>, Option<Contact>),
}

/// See the module's top.
#[derive(Clone, Debug)]
pub struct Table {
    own: Address,
    k: usize,
    exempt: bool,
    /// The bucket of n shared bits at place n.
    buckets: Vec<Bucket>,
    len: usize,
}

impl Table {
    /// Of a node with the id `own`, with `k` nodes a bucket.
    #[must_use]
    pub fn new(own: Address, k: usize) -> Table {
        Table {
            own,
            k,
            exempt: true,
            buckets: Vec::new(),
            len: 0,
        }
    }

    /// Whether private addresses count towards limits a subnet.
    pub fn set_exempt(&mut self, exempt: bool) {
        self.exempt = exempt;
    }

    /// Nodes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All nodes, those with few shared bits first.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.buckets.iter().flat_map(|bucket| &bucket.peers)
    }

    /// A node.
    #[must_use]
    pub fn get(&self, id: &Address) -> Option<&Peer> {
        let bucket = self.buckets.get(shared_bits(&self.own, id))?;
        bucket.peers.iter().find(|peer| peer.contact.id == *id)
    }

    /// A node, to be changed. Its id must stay as it is.
    pub fn get_mut(&mut self, id: &Address) -> Option<&mut Peer> {
        let bucket = self.buckets.get_mut(shared_bits(&self.own, id))?;
        bucket.peers.iter_mut().find(|peer| peer.contact.id == *id)
    }

    /// The bucket of `id`, made if it is missing; none for our own id.
    fn bucket(&mut self, id: &Address) -> Option<&mut Bucket> {
        let place = shared_bits(&self.own, id);
        if place >= BITS {
            return None;
        }
        if self.buckets.len() <= place {
            // Exactly: doubling would hold room for buckets that no network fills.
            let more = place + 1 - self.buckets.len();
            self.buckets.reserve_exact(more);
            self.buckets.resize_with(place + 1, Bucket::default);
        }
        self.buckets.get_mut(place)
    }

    /// A node that serves has proven its id over its address.
    pub fn heard(&mut self, contact: Contact, now: Moment) -> Heard {
        let (k, exempt) = (self.k, self.exempt);
        let Some(bucket) = self.bucket(&contact.id) else {
            return Heard::Refused;
        };
        let known = bucket.peers.iter().position(|p| p.contact.id == contact.id);
        if let Some(place) = known {
            let peers = &mut bucket.peers;
            let moved = peers.get(place).map(|peer| peer.contact.at) != Some(contact.at);
            if moved && !fits(peers, contact, exempt) {
                peers.remove(place);
                self.len -= 1;
                return Heard::Waits(None);
            }
            if let Some(peer) = peers.get_mut(place) {
                if moved {
                    // Another place: what is known of the way there is void.
                    (peer.rtt, peer.cookie) = (Default::default(), 0);
                    peer.contact = contact;
                }
                (peer.heard, peer.tended, peer.missed) = (now, now, 0);
            }
            if let Some(tail) = peers.get_mut(place..) {
                tail.rotate_left(1);
            }
            return Heard::Known;
        }
        if bucket.peers.len() < k && fits(&bucket.peers, contact, exempt) {
            bucket.spares.retain(|spare| spare.contact.id != contact.id);
            if bucket.peers.len() == bucket.peers.capacity() {
                bucket.peers.reserve_exact(4);
            }
            bucket.peers.push(Peer::new(contact, now));
            self.len += 1;
            return Heard::Added;
        }
        bucket.wait(contact, true, exempt);
        let oldest = bucket.peers.first();
        let doubted = oldest.filter(|peer| peer.missed > 0 || now.since(peer.heard) > DOUBT);
        Heard::Waits(doubted.map(|peer| peer.contact))
    }

    /// Somebody has named a node. It is remembered as a spare of a bucket that has
    /// none left; true when it could have a place at once if it proved itself.
    pub fn named(&mut self, contact: Contact) -> bool {
        let (k, exempt) = (self.k, self.exempt);
        if self.get(&contact.id).is_some() {
            return false;
        }
        let Some(bucket) = self.bucket(&contact.id) else {
            return false;
        };
        if bucket.peers.len() < k && fits(&bucket.peers, contact, exempt) {
            return true;
        }
        if bucket.spares.len() < SPARES_MAX {
            bucket.wait(contact, false, exempt);
        }
        false
    }

    /// A node has answered a request or asked one after `rtt`, with a cookie for
    /// the next one. Call [`Table::heard`] before.
    pub fn answered(&mut self, id: &Address, rtt: Option<Duration>, cookie: Option<u64>) {
        let Some(peer) = self.get_mut(id) else { return };
        if let Some(rtt) = rtt {
            peer.rtt.sample(rtt);
            peer.judge(true);
        }
        if let Some(cookie) = cookie {
            peer.cookie = cookie;
        }
    }

    /// A node has not answered at `contact`'s address. `heard` is when anybody else
    /// was heard last: while nobody is, it is we who are cut off, and nobody loses
    /// a place.
    pub fn silent(&mut self, contact: &Contact, now: Moment, heard: Moment) -> Silence {
        match self.get_mut(&contact.id) {
            Some(peer) if peer.contact.at == contact.at => {
                peer.judge(false);
                if peer.missed == 0 {
                    peer.missed_since = now;
                }
                peer.missed = peer.missed.saturating_add(1);
                if peer.missed < MISSED_MAX || heard < peer.missed_since {
                    return Silence::Doubted;
                }
            }
            _ => return Silence::Unknown,
        }
        self.remove(&contact.id)
    }

    /// Takes a node's place from it, because it is silent or does not serve any more.
    pub fn remove(&mut self, id: &Address) -> Silence {
        let bits = shared_bits(&self.own, id);
        let Some(bucket) = self.buckets.get_mut(bits) else {
            return Silence::Unknown;
        };
        bucket.spares.retain(|spare| spare.contact.id != *id);
        let Some(place) = bucket.peers.iter().position(|p| p.contact.id == *id) else {
            return Silence::Unknown;
        };
        let peer = bucket.peers.remove(place);
        self.len -= 1;
        let spare = bucket.next_spare(bits);
        Silence::Left(Box::new(peer), spare)
    }

    /// Nodes closest to `target`, the closest first, at most `most`, not too many of
    /// one network. Those that have missed a request come only when `doubted`.
    #[must_use]
    pub fn closest(&self, target: &Address, most: usize, doubted: bool) -> Vec<&Peer> {
        let mut found: Vec<&Peer> = Vec::with_capacity(most);
        let mut tally = Tally::new(self.exempt);
        // Whoever shares as many bits with us as the target does is closer to it
        // than whoever shares more, and those are closer than whoever shares fewer.
        let bits = shared_bits(&self.own, target);
        let (before, from) = self.buckets.split_at(bits.min(self.buckets.len()));
        let (same, deeper) = from.split_at(from.len().min(1));
        let nearer = [same, deeper].into_iter();
        for group in nearer.chain(before.chunks(1).rev()) {
            if found.len() >= most {
                break;
            }
            let peers = group.iter().flat_map(|bucket| &bucket.peers);
            let mut group: Vec<&Peer> = peers.filter(|p| doubted || p.missed == 0).collect();
            // No two have the same distance: ids are different.
            sorted::sort_by(&mut group, |a, b| {
                closer(target, &a.contact.id, &b.contact.id)
            });
            for peer in group {
                if found.len() < most && tally.admit(peer.contact.at.ip()) {
                    found.push(peer);
                }
            }
        }
        found
    }

    /// How many nodes there are in the network, from how close the closest to us
    /// are; none while fewer than k are known.
    #[must_use]
    pub fn network_size(&self) -> Option<f64> {
        let near = self.closest(&self.own, self.k, true);
        let last = near.last().filter(|_| near.len() >= self.k)?;
        let far = share(&distance(&self.own, &last.contact.id));
        (far > 0.0).then(|| near.len() as f64 / far)
    }

    /// Shared bits of the k-th closest node: buckets from there on hold whole
    /// neighbourhoods, and room in them is none to fill.
    #[must_use]
    pub fn neighbourhood(&self) -> usize {
        let near = self.closest(&self.own, self.k, true);
        let last = near.last().filter(|_| near.len() >= self.k);
        last.map_or(0, |peer| shared_bits(&self.own, &peer.contact.id))
    }

    /// The node that was not heard of or asked for the longest time.
    #[must_use]
    pub fn stalest(&self) -> Option<&Peer> {
        self.iter().min_by_key(|peer| peer.tended)
    }

    /// See [`Table::stalest`].
    pub fn stalest_mut(&mut self) -> Option<&mut Peer> {
        let peers = self.buckets.iter_mut().flat_map(|bucket| &mut bucket.peers);
        peers.min_by_key(|peer| peer.tended)
    }

    /// Nodes that share exactly so many bits with us.
    pub fn bucket_of(&self, bits: usize) -> impl Iterator<Item = &Peer> {
        self.buckets.get(bits).into_iter().flat_map(|b| &b.peers)
    }

    /// How many more nodes the bucket of `bits` takes.
    #[must_use]
    pub fn room(&self, bits: usize) -> usize {
        let peers = self.buckets.get(bits).map_or(0, |b| b.peers.len());
        self.k.saturating_sub(peers)
    }

    /// Buckets with room, as numbers of shared bits, up to the deepest that has
    /// somebody in it.
    pub fn gaps(&self) -> impl Iterator<Item = usize> + '_ {
        let deepest = self.buckets.iter().rposition(|b| !b.peers.is_empty());
        let used = self.buckets.iter().take(deepest.map_or(0, |d| d + 1));
        let gaps = used.enumerate().filter(|(_, b)| b.peers.len() < self.k);
        gaps.map(|(bits, _)| bits)
    }
}

/// Parts of a bucket that are told apart: the next four bits.
pub const STRATA: usize = 16;

/// In which part of the bucket of `bits` shared bits an id lies. Nodes that spread
/// over the parts bring a first step of any lookup four bits farther.
#[must_use]
pub fn stratum(id: &Address, bits: usize) -> usize {
    (bits + 1..bits + 5).fold(0, |place, bit| {
        let byte = id.0.get(bit / 8).copied().unwrap_or(0);
        place << 1 | usize::from(byte & (0x80 >> (bit % 8)) != 0)
    })
}

/// Whether a node fits into a bucket beside the others of it.
fn fits(peers: &[Peer], contact: Contact, exempt: bool) -> bool {
    let mut tally = Tally::new(exempt);
    let others = peers.iter().filter(|peer| peer.contact.id != contact.id);
    for peer in others {
        tally.admit(peer.contact.at.ip());
    }
    tally.admit(contact.at.ip())
}

impl Bucket {
    /// Takes out who is asked to fill a gap: rather one that has spoken for itself than
    /// one that was named, and rather one of a part of which there are few.
    fn next_spare(&mut self, bits: usize) -> Option<Contact> {
        let rank = |spare: &Spare| {
            let part = stratum(&spare.contact.id, bits);
            let same = |peer: &&Peer| stratum(&peer.contact.id, bits) == part;
            (!spare.proven, self.peers.iter().filter(same).count())
        };
        // The latest of equals.
        let spares = self.spares.iter().enumerate().rev();
        let (place, _) = spares.min_by_key(|(_, spare)| rank(spare))?;
        Some(self.spares.remove(place).contact)
    }

    /// Puts a node among the spares, the oldest of which makes room. They are limited
    /// a network, too: otherwise one would crowd out all others.
    fn wait(&mut self, contact: Contact, proven: bool, exempt: bool) {
        let known = self.spares.iter().find(|s| s.contact.id == contact.id);
        let proven = proven || known.is_some_and(|s| s.proven && s.contact == contact);
        self.spares.retain(|spare| spare.contact.id != contact.id);
        let mut tally = Tally::new(exempt);
        for spare in &self.spares {
            tally.admit(spare.contact.at.ip());
        }
        if !tally.admit(contact.at.ip()) {
            return;
        }
        if self.spares.len() >= SPARES_MAX {
            // Hearsay goes before those who spoke.
            let hearsay = self.spares.iter().position(|spare| !spare.proven);
            self.spares.remove(hearsay.unwrap_or(0));
        }
        if self.spares.len() == self.spares.capacity() {
            self.spares.reserve_exact(2);
        }
        self.spares.push(Spare { contact, proven });
    }
}

#[cfg(test)]
mod tests;
