//! A lookup: asks nodes ever closer to an id (Maymounkov and Mazières 2002,
//! section 2.3) over disjoint paths (S/Kademlia, Baumgart and Mies 2007, section
//! 4.4).
//!
//! It does not send anything itself. The owner asks [`Lookup::next`] whom to ask
//! until there is nobody, and tells it what came of each request: an answer, a
//! refusal, silence, or that the answer is late.
//!
//! **Paths.** The nodes to begin with are dealt out to as many paths as requests
//! may be under way (alpha, 3), and what a node tells stays on the path on which it
//! was asked; nobody is asked on two. One liar spoils one path. With more paths
//! than parallel requests each would stand still most of the time, with fewer a
//! liar asked first would spoil more: at 20 % of liars all of three paths are
//! spoilt by their first node in 0.8 % of lookups, of two in 4 %.
//!
//! **Who is asked.** On each path the closest few ([`PATH_WINDOW`]) that are
//! alive, and overall the k closest that are alive, of which not too many in one
//! network ([`super::subnet`]): both *windows* are counted anew at each step, so a
//! node that does not answer makes room for the next one, and invented contacts
//! cannot keep real ones out. Whoever names nodes that do not answer is believed
//! last.
//!
//! **Slow nodes.** An answer that is late does not hold the lookup up: another
//! request goes out at once, and the late answer still counts when it comes.
//!
//! **The end.** When the closest k have answered. If they lie much farther from
//! the target than the k closest of this network can be, they were made up or
//! picked by somebody who hides the others: then the lookup goes on from the nodes
//! that it began with and had no use for ([`Lookup::second_wind`]).

use super::id::{distance, share, shared_bits};
use super::subnet::Tally;
use crate::identity::Address;
use crate::wire::dht::Contact;

/// The closest of a path that have to answer before it is at its end, besides the k
/// closest of all. Honest paths meet in one neighbourhood, so it costs next to nothing.
const PATH_WINDOW: usize = 3;
/// Contacts that one lookup remembers. A hundred answers of 20 contacts each pass by,
/// most of them known already; beyond this the farthest are dropped.
const CANDIDATES_MAX: usize = 160;
/// Requests of one lookup. A lookup among 10,000 nodes takes 25; one that liars
/// lead astray ends here.
const REQUESTS_MAX: u16 = 120;
/// For each request that may be under way two may be late besides: more would
/// make a flood of a network that has gone away.
const LATE_FACTOR: usize = 2;
/// Contacts of one node that did not answer before its others are believed last.
const LIES: u8 = 2;
/// The k closest found are suspicious when they lie this many times farther from
/// the target than our own k closest lie from us. By chance (k = 20, both sides of
/// the comparison random) a factor of 2.5 happens once in some 400 lookups;
/// liars who are a fifth of the network and hide all others make it 5.
const SPARSE: f64 = 2.5;

/// What a lookup wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The k closest nodes.
    Nodes,
    /// A record: any node near the key is as good as the closest one.
    Value,
}

/// Of a candidate: whether it will ask for a cookie before it answers, and how dear
/// it is otherwise; of equally close ones the lowest is asked first.
pub type Cost<'a> = &'a dyn Fn(&Contact) -> (bool, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    Late,
    Answered,
    /// Silent once; may be asked again at the end.
    Silent,
    /// Gone for this lookup.
    Failed,
}

#[derive(Clone, Debug)]
struct Candidate {
    contact: Contact,
    far: [u8; 20],
    state: State,
    /// The paths on which it was named, as bits.
    paths: u32,
    /// The one on which it was asked.
    path: u8,
    /// Which answer named it: its place in `sources`.
    source: u8,
    asked_twice: bool,
}

/// How good what somebody named was.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    alive: u8,
    dead: u8,
}

/// See the module's top.
#[derive(Clone, Debug)]
pub struct Lookup {
    target: Address,
    own: Address,
    goal: Goal,
    k: usize,
    alpha: usize,
    paths: u8,
    exempt: bool,
    /// The closest first.
    candidates: Vec<Candidate>,
    sources: Vec<Source>,
    turn: u8,
    requests: u16,
    /// Nobody else is left: those whom nobody believes are asked, too.
    desperate: bool,
    /// Bits that a node well inside the replica set shares with the target.
    zone: usize,
    winds: u8,
}

/// What a lookup has to know of the node that does it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Its id: it does not ask itself.
    pub own: Address,
    /// Size of replica sets.
    pub k: usize,
    /// Requests under way.
    pub alpha: usize,
    /// Disjoint paths.
    pub paths: usize,
    /// Whether private addresses count towards limits a subnet.
    pub exempt: bool,
    /// How many nodes there are, if that can be told.
    pub network: Option<f64>,
}

impl Lookup {
    /// From `start`, the closest first.
    #[must_use]
    pub fn new(target: Address, goal: Goal, terms: Terms, start: &[Contact]) -> Lookup {
        let paths = terms.paths.clamp(1, 16) as u8;
        let zone = terms
            .network
            .map_or(f64::MAX, |nodes| nodes / terms.k as f64);
        let mut lookup = Lookup {
            target,
            own: terms.own,
            goal,
            k: terms.k,
            alpha: terms.alpha.max(1),
            paths,
            exempt: terms.exempt,
            candidates: Vec::with_capacity(start.len()),
            sources: vec![Source::default()],
            turn: 0,
            requests: 0,
            desperate: false,
            // Twice as close as the edge of the replica set: near it every other one
            // is outside.
            zone: (zone.max(1.0).log2() + 1.0).round().min(160.0) as usize,
            winds: 1,
        };
        for (place, contact) in start.iter().enumerate() {
            let path = place % usize::from(paths);
            lookup.insert(*contact, 1 << path, 0);
        }
        lookup
    }

    /// What is looked for.
    #[must_use]
    pub fn target(&self) -> Address {
        self.target
    }

    fn insert(&mut self, contact: Contact, paths: u32, source: u8) {
        if contact.id == self.own || contact.id == Address::ZERO {
            return;
        }
        let known = |c: &Candidate| c.contact.id == contact.id;
        if let Some(place) = self.candidates.iter().position(known) {
            if let Some(candidate) = self.candidates.get_mut(place) {
                candidate.paths |= paths;
            }
            let doubted = self.candidates.get(place).map(|c| c.source);
            if doubted.is_some_and(|source| self.lies(source)) {
                // Somebody else vouches for it, and says where it is.
                if let Some(candidate) = self.candidates.get_mut(place) {
                    if candidate.state == State::Fresh {
                        (candidate.contact, candidate.source) = (contact, source);
                    }
                }
            }
            return;
        }
        let far = distance(&self.target, &contact.id);
        if self.candidates.len() >= CANDIDATES_MAX && !self.make_room(&far) {
            return;
        }
        let place = self.candidates.partition_point(|c| c.far < far);
        let candidate = Candidate {
            contact,
            far,
            state: State::Fresh,
            paths,
            path: 0,
            source,
            asked_twice: false,
        };
        self.candidates.insert(place, candidate);
    }

    /// Drops a candidate for one that is `far` away: of somebody whom nobody believes,
    /// or else the farthest, if it is farther, for which nobody waits. Those that we
    /// began with are kept: they are the way back when all others turn out to be made up.
    fn make_room(&mut self, far: &[u8; 20]) -> bool {
        let all = &self.candidates;
        let made_up = all
            .iter()
            .rposition(|c| c.state == State::Fresh && self.lies(c.source));
        let idle = |c: &Candidate| {
            let waited_for = matches!(c.state, State::Asked | State::Late);
            !waited_for && (c.source != 0 || c.state == State::Failed) && c.far > *far
        };
        let place = made_up.or_else(|| all.iter().rposition(idle));
        place.map(|place| self.candidates.remove(place)).is_some()
    }

    fn count(&self, state: State) -> usize {
        self.candidates.iter().filter(|c| c.state == state).count()
    }

    /// Whether the path or the whole lookup hangs on the candidate: it is one of the
    /// `most` closest that are alive (on `path`, if given), limited a network.
    fn window(&self, path: Option<u8>, most: usize) -> impl Iterator<Item = usize> + '_ {
        let mut tally = Tally::new(self.exempt);
        let all = self.candidates.iter().enumerate();
        let alive = all.filter(move |(_, c)| {
            let there = match c.state {
                State::Failed | State::Silent => false,
                State::Fresh => self.desperate || !self.lies(c.source),
                State::Asked | State::Late | State::Answered => true,
            };
            there && path.is_none_or(|path| c.paths & (1 << path) != 0)
        });
        let fits = alive.filter(move |(_, c)| tally.admit(c.contact.at.ip()));
        fits.map(|(place, _)| place).take(most)
    }

    /// Whom to ask now; none: nobody at the moment. `cost` tells two equally close
    /// ones apart.
    pub fn next(&mut self, cost: Cost<'_>) -> Option<Contact> {
        let waiting = self.count(State::Asked);
        if waiting >= self.alpha
            || waiting + self.count(State::Late) >= self.alpha * (LATE_FACTOR + 1)
            || self.requests >= REQUESTS_MAX
        {
            return None;
        }
        let (place, path) = self.choose(cost)?;
        let paths = self.all_paths();
        let candidate = self.candidates.get_mut(place)?;
        candidate.state = State::Asked;
        candidate.path = path.unwrap_or(candidate.paths.trailing_zeros() as u8);
        self.requests += 1;
        self.turn = (candidate.path + 1) % paths;
        Some(candidate.contact)
    }

    fn all_paths(&self) -> u8 {
        self.paths.saturating_mul(self.winds).max(1)
    }

    /// Its place and the path that wants it; none: the whole lookup does.
    fn choose(&self, cost: Cost<'_>) -> Option<(usize, Option<u8>)> {
        let paths = self.all_paths();
        // Paths that wait for nobody come first, in turn.
        for idle in [true, false] {
            for step in 0..paths {
                let path = (self.turn.wrapping_add(step)) % paths;
                let busy = |c: &Candidate| c.path == path && c.state == State::Asked;
                if self.candidates.iter().any(busy) == idle {
                    continue;
                }
                // Anybody near the key may have the value, not only the closest three.
                let wide = match self.goal {
                    Goal::Nodes => PATH_WINDOW,
                    Goal::Value => self.k,
                };
                let best = self.best(self.window(Some(path), wide), cost);
                if let Some(best) = best {
                    return Some((best, Some(path)));
                }
            }
        }
        let best = self.best(self.window(None, self.k), cost)?;
        Some((best, None))
    }

    /// The closest of `places` that was not asked yet; of equally close ones that of
    /// the least cost.
    fn best(&self, places: impl Iterator<Item = usize>, cost: Cost<'_>) -> Option<usize> {
        let fresh = places.filter_map(|place| {
            let candidate = self.candidates.get(place)?;
            (candidate.state == State::Fresh).then_some((place, candidate))
        });
        let ranked = fresh.min_by_key(|(_, candidate)| {
            let (stranger, cost) = cost(&candidate.contact);
            let bits = shared_bits(&self.target, &candidate.contact.id);
            // On the way a step of one bit less is nothing beside a round trip more.
            let near = bits + usize::from(!stranger && bits < self.zone);
            let near = match self.goal {
                Goal::Nodes => near,
                Goal::Value => near.min(self.zone),
            };
            (std::cmp::Reverse(near), cost)
        });
        ranked.map(|(place, _)| place)
    }

    fn lies(&self, source: u8) -> bool {
        let source = self.sources.get(usize::from(source));
        source.is_some_and(|s| s.dead >= LIES && s.dead > s.alive)
    }

    fn candidate(&mut self, id: &Address) -> Option<&mut Candidate> {
        self.candidates.iter_mut().find(|c| c.contact.id == *id)
    }

    /// A node has answered and named others.
    pub fn answered(&mut self, id: &Address, named: &[Contact]) {
        let Some(candidate) = self.candidate(id) else {
            return;
        };
        candidate.state = State::Answered;
        let (paths, source) = (candidate.paths, candidate.source);
        self.judge(source, true);
        let number = self.sources.len();
        if named.is_empty() || number > usize::from(u8::MAX) {
            return;
        }
        self.sources.push(Source::default());
        for contact in named.iter().take(self.k) {
            self.insert(*contact, paths, number as u8);
        }
    }

    /// A node's answer is late.
    pub fn late(&mut self, id: &Address) {
        if let Some(candidate) = self.candidate(id) {
            if candidate.state == State::Asked {
                candidate.state = State::Late;
            }
        }
    }

    /// A node did not answer in time.
    pub fn silent(&mut self, id: &Address) {
        let Some(candidate) = self.candidate(id) else {
            return;
        };
        candidate.state = match candidate.asked_twice {
            true => State::Failed,
            false => State::Silent,
        };
        let source = candidate.source;
        self.judge(source, false);
    }

    /// A node has refused to answer, or what it answered was wrong: it is not asked
    /// again.
    pub fn refused(&mut self, id: &Address) {
        if let Some(candidate) = self.candidate(id) {
            candidate.state = State::Failed;
        }
    }

    fn judge(&mut self, source: u8, alive: bool) {
        // Place 0 is our own table.
        if source == 0 {
            return;
        }
        if let Some(source) = self.sources.get_mut(usize::from(source)) {
            let count = if alive {
                &mut source.alive
            } else {
                &mut source.dead
            };
            *count = count.saturating_add(1);
        }
    }

    /// Whether no answer is waited for.
    #[must_use]
    pub fn waits_for_nobody(&self) -> bool {
        self.count(State::Asked) + self.count(State::Late) == 0
    }

    /// Whether there is nothing left to ask or to wait for. Silent nodes among the
    /// closest get a second chance before that: at 5 % of loss each way one of ten
    /// requests is lost, and one of the k closest is worth another packet.
    pub fn is_over(&mut self) -> bool {
        if self.requests >= REQUESTS_MAX {
            return self.waits_for_nobody();
        }
        if self.is_open() {
            return false;
        }
        let answered = self.window(None, self.k).count();
        let edge = match self
            .candidates
            .get(self.window(None, self.k).last().unwrap_or(0))
        {
            Some(candidate) if answered >= self.k => candidate.far,
            _ => [u8::MAX; 20],
        };
        let mut revived = 0;
        for place in 0..self.candidates.len() {
            let Some(candidate) = self.candidates.get(place) else {
                break;
            };
            if candidate.far > edge || revived >= self.k {
                break;
            }
            if candidate.state != State::Silent || self.lies(candidate.source) {
                continue;
            }
            if let Some(candidate) = self.candidates.get_mut(place) {
                candidate.asked_twice = true;
                candidate.state = State::Fresh;
                revived += 1;
            }
        }
        if revived == 0 && !self.desperate && answered < self.k {
            self.desperate = true;
            return !self.is_open();
        }
        revived == 0
    }

    /// Whether a window has somebody in it who has not answered.
    fn is_open(&self) -> bool {
        let waits = |place: usize| {
            let state = self.candidates.get(place).map(|c| c.state);
            state.is_some_and(|state| state != State::Answered)
        };
        let mut paths = 0..self.all_paths();
        self.window(None, self.k).any(waits)
            || paths.any(|path| self.window(Some(path), PATH_WINDOW).any(waits))
    }

    /// The closest nodes that have answered, the closest first, at most k, not too
    /// many of one network.
    #[must_use]
    pub fn closest(&self) -> Vec<Contact> {
        let mut tally = Tally::new(self.exempt);
        let answered = self
            .candidates
            .iter()
            .filter(|c| c.state == State::Answered);
        let fits = answered.filter(|c| tally.admit(c.contact.at.ip()));
        fits.map(|c| c.contact).take(self.k).collect()
    }

    /// Goes on from nodes that were not asked yet, on new paths, when the closest
    /// that have answered lie too far from the target for a network of `network`
    /// nodes. Once; true when there is somebody to ask again.
    pub fn second_wind(&mut self, network: Option<f64>) -> bool {
        let closest = self.closest();
        let Some(last) = closest.last().filter(|_| self.winds == 1) else {
            return false;
        };
        let Some(network) = network else { return false };
        let far = share(&distance(&self.target, &last.id));
        if far * network < SPARSE * closest.len() as f64 {
            return false;
        }
        self.winds = 2;
        let mut path = self.paths;
        let mut dealt = false;
        for candidate in &mut self.candidates {
            if candidate.state == State::Fresh && candidate.source == 0 {
                candidate.paths = 1 << path;
                path += 1;
                if path >= self.paths * 2 {
                    path = self.paths;
                }
                dealt = true;
            }
        }
        dealt
    }

    /// Whom nobody has asked, the closest first.
    pub fn unasked(&self) -> impl Iterator<Item = Contact> + '_ {
        let fresh = self.candidates.iter().filter(|c| c.state == State::Fresh);
        fresh.filter(|c| !self.lies(c.source)).map(|c| c.contact)
    }

    /// The closest node that has answered but is none of `holders`: where a value
    /// found is cached (Maymounkov and Mazières 2002, section 2.3).
    #[must_use]
    pub fn closest_without(&self, holders: &[Address]) -> Option<Contact> {
        let answered = self
            .candidates
            .iter()
            .filter(|c| c.state == State::Answered);
        let mut others = answered.filter(|c| !holders.contains(&c.contact.id));
        others.next().map(|c| c.contact)
    }
}

#[cfg(test)]
mod tests;
