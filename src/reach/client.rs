//! Asks one gateway for ports, by whichever way it knows.

use super::epoch::Epoch;
use super::exchange::{ask, discover, fetch, towards, within};
use super::igd::{services, Service};
use super::plan::Seen;
use super::soap::{self, Ask, Fault};
use super::{natpmp, pcp, Failure, Granted, Mapping, Want, Way, LEASE, WANTS_MAX};
use crate::identity::sha256;
use crate::time::Moment;
use async_io::Async;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Other ports that are tried where another device has the one that is wished.
const OTHERS_MAX: u16 = 3;

/// Who asks whom for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The gateway, where it takes PCP and NAT-PMP.
    pub gateway: SocketAddr,
    /// This node's address, which ports lead to.
    pub own: IpAddr,
    /// Ports, the most important first; those of one number are kept together.
    pub wants: Vec<Want>,
    /// Secret of this node, the same after a restart: names of its mappings follow
    /// from it, so that it gets its own ones back.
    pub secret: [u8; 32],
    /// What people read in the router's list.
    pub name: String,
}

/// What the gateway has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// How it was asked.
    pub way: Way,
    /// What it calls its address outside.
    pub address: IpAddr,
    /// The ports that lead here.
    pub mappings: Vec<Mapping>,
    /// Ports that it did not give, and its word.
    pub refused: Vec<(Want, Failure)>,
    epoch: Option<Epoch>,
    service: Option<Service>,
}

impl Held {
    /// Without clock and service.
    #[must_use]
    pub fn new(way: Way, address: IpAddr, mappings: Vec<Mapping>) -> Held {
        Held {
            way,
            address,
            mappings,
            refused: Vec::new(),
            epoch: None,
            service: None,
        }
    }

    /// The shortest lease.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let leases = self.mappings.iter().map(|mapping| mapping.lease);
        leases.min().unwrap_or(LEASE)
    }

    /// The port outside that leads to `want`.
    #[must_use]
    pub fn external(&self, want: Want) -> Option<u16> {
        let mut mappings = self.mappings.iter();
        let found = mappings.find(|mapping| mapping.want == want)?;
        Some(found.external)
    }
}

/// What is being collected.
#[derive(Default)]
struct Got {
    mappings: Vec<Mapping>,
    refused: Vec<(Want, Failure)>,
    address: Option<IpAddr>,
    epoch: Option<u32>,
}

impl Got {
    /// Takes an answer. False: there is no use in asking for more.
    fn take(&mut self, want: Want, answer: Result<Granted, Failure>) -> bool {
        match answer {
            Ok(granted) => {
                self.address = granted.address.or(self.address);
                self.epoch = granted.epoch.or(self.epoch);
                self.mappings.push(Mapping {
                    want,
                    external: granted.external,
                    lease: granted.lease,
                });
                true
            }
            Err(failure) => {
                let hopeless = matches!(failure, Failure::Silent | Failure::NoAddress);
                self.refused.push((want, failure));
                !(hopeless && self.mappings.is_empty())
            }
        }
    }

    fn held(self, way: Way, service: Option<Service>, now: Moment) -> Result<Held, Failure> {
        if self.mappings.is_empty() {
            let first = self.refused.into_iter().next();
            return Err(first.map_or(Failure::Silent, |(_, failure)| failure));
        }
        let address = self.address.ok_or(Failure::NoAddress)?;
        let mut held = Held::new(way, address, self.mappings);
        held.refused = self.refused;
        held.epoch = self.epoch.map(|said| Epoch::new(said, now));
        held.service = service;
        Ok(held)
    }
}

impl Asker {
    /// Asks for everything by one way after the other, until one of them gives
    /// something.
    ///
    /// # Errors
    /// The most telling of their answers.
    pub async fn search(&self, now: Moment) -> Result<Held, Failure> {
        let mut worst = Failure::Silent;
        let ways: &[Way] = match self.own {
            IpAddr::V4(_) => &[Way::Pcp, Way::NatPmp, Way::Upnp],
            IpAddr::V6(_) => &[Way::Pcp],
        };
        for way in ways.iter().copied() {
            match self.by(way, None, now).await {
                Ok(held) => return Ok(held),
                Err(failure) => {
                    log::debug!("ports by {way} at {}: {failure}", self.gateway.ip());
                    if rank(&failure) > rank(&worst) {
                        worst = failure;
                    }
                }
            }
        }
        Err(worst)
    }

    /// Asks for everything again, the way by which it was given.
    ///
    /// # Errors
    /// As [`Asker::search`].
    pub async fn renew(&self, held: &Held, now: Moment) -> Result<Held, Failure> {
        self.by(held.way, Some(held), now).await
    }

    async fn by(&self, way: Way, before: Option<&Held>, now: Moment) -> Result<Held, Failure> {
        match way {
            Way::Pcp => self.by_pcp(before, now).await,
            Way::NatPmp => self.by_nat_pmp(before, now).await,
            Way::Upnp => self.by_upnp(before, now).await,
        }
    }

    /// The port outside to ask for: the one from before; the one that TCP or UDP of
    /// the same number has; the same as inside.
    fn wish(&self, want: Want, before: Option<&Held>, got: &Got) -> u16 {
        let mut twins = got.mappings.iter();
        let twin = twins.find(|mapping| mapping.want.port == want.port);
        let old = before.and_then(|held| held.external(want));
        old.or(twin.map(|mapping| mapping.external))
            .unwrap_or(want.port)
    }

    fn socket(&self) -> Result<Async<UdpSocket>, Failure> {
        towards(self.own, self.gateway).map_err(|_| Failure::Silent)
    }

    fn pcp(&self, want: Want, wish: u16, lease: Duration) -> pcp::Map {
        let mut nonce = [0; 12];
        let port = want.port.to_be_bytes();
        let place: &[u8] = match self.gateway {
            SocketAddr::V4(at) => &at.ip().octets(),
            SocketAddr::V6(at) => &at.ip().octets(),
        };
        let hash = sha256(&[&self.secret, place, &[want.transport.number()], &port]);
        nonce.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        pcp::Map {
            client: self.own,
            nonce,
            want,
            wish,
            lease,
        }
    }

    async fn by_pcp(&self, before: Option<&Held>, now: Moment) -> Result<Held, Failure> {
        let socket = self.socket()?;
        let mut got = Got::default();
        for want in self.wants.iter().take(WANTS_MAX) {
            let map = self.pcp(*want, self.wish(*want, before, &got), LEASE);
            let answer = granted(&socket, &map.encode(), &|bytes| map.answer(bytes)).await;
            if !got.take(*want, answer) {
                break;
            }
        }
        got.held(Way::Pcp, None, now)
    }

    async fn by_nat_pmp(&self, before: Option<&Held>, now: Moment) -> Result<Held, Failure> {
        let socket = self.socket()?;
        let (address, epoch) = nat_pmp_address(&socket).await?;
        let mut got = Got {
            address: Some(address.into()),
            epoch: Some(epoch),
            ..Got::default()
        };
        for want in self.wants.iter().take(WANTS_MAX) {
            let map = natpmp::Map {
                want: *want,
                wish: self.wish(*want, before, &got),
                lease: LEASE,
            };
            let answer = granted(&socket, &map.encode(), &|bytes| map.answer(bytes)).await;
            if !got.take(*want, answer) {
                break;
            }
        }
        got.held(Way::NatPmp, None, now)
    }

    async fn by_upnp(&self, before: Option<&Held>, now: Moment) -> Result<Held, Failure> {
        if let Some(service) = before.and_then(|held| held.service.clone()) {
            return self.at_service(service, before, now).await;
        }
        let (IpAddr::V4(own), IpAddr::V4(gateway)) = (self.own, self.gateway.ip()) else {
            return Err(Failure::Silent);
        };
        let place = discover(own, gateway).await;
        let place = place.ok_or(Failure::Silent)?;
        let description = fetch(&place, &place.get()).await?;
        let mut last = Failure::Garbled("no service that maps ports");
        for service in services(&description.body, &place) {
            match self.at_service(service, before, now).await {
                Ok(held) => return Ok(held),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn at_service(
        &self,
        service: Service,
        before: Option<&Held>,
        now: Moment,
    ) -> Result<Held, Failure> {
        let mut got = Got {
            address: Some(upnp_address(&service).await?.into()),
            ..Got::default()
        };
        for want in self.wants.iter().take(WANTS_MAX) {
            let wish = self.wish(*want, before, &got);
            let answer = self.add(&service, *want, wish).await;
            if !got.take(*want, answer) {
                break;
            }
        }
        got.held(Way::Upnp, Some(service), now)
    }

    /// Asks for one port by UPnP: for good where the gateway knows no leases, another
    /// one where somebody else has it.
    async fn add(&self, service: &Service, want: Want, wish: u16) -> Result<Granted, Failure> {
        let mut lease = LEASE;
        let (mut external, mut others, mut any) = (wish, 0, false);
        loop {
            let asked = soap::add(service, any, external, want, self.own, lease, &self.name);
            match put(&asked, "NewReservedPort").await? {
                Ok(other) => {
                    let other = other.and_then(|port| port.parse().ok());
                    let external = other.filter(|port| any && *port != 0).unwrap_or(external);
                    return Ok(Granted {
                        external,
                        lease: LEASE,
                        address: None,
                        epoch: None,
                    });
                }
                Err(Fault::Code(soap::ONLY_PERMANENT)) if !lease.is_zero() => {
                    lease = Duration::ZERO;
                }
                Err(Fault::Code(soap::CONFLICT)) if service.is_second() && !any => any = true,
                Err(Fault::Code(soap::CONFLICT)) if others < OTHERS_MAX => {
                    others += 1;
                    any = false;
                    external = fastrand::u16(20_000..60_000);
                }
                Err(fault) => return Err(fault.failure()),
            }
        }
    }

    /// Whether everything is as it was given.
    pub async fn look(&self, held: &Held, now: Moment) -> Seen {
        let Some(first) = held.mappings.first() else {
            return Seen::Changed;
        };
        let told = match held.way {
            Way::Pcp => self.look_by_pcp(first).await,
            Way::NatPmp => match self.socket() {
                Ok(socket) => nat_pmp_address(&socket)
                    .await
                    .map(|(ip, epoch)| (ip.into(), Some(epoch), true)),
                Err(failure) => Err(failure),
            },
            Way::Upnp => look_by_upnp(held, first).await,
        };
        match told {
            Ok((address, epoch, there)) => {
                let goes_on = match (epoch, held.epoch) {
                    (Some(said), Some(before)) => before.goes_on(said, now),
                    _ => true,
                };
                match there && goes_on && address == held.address {
                    true => Seen::Fine,
                    false => Seen::Changed,
                }
            }
            Err(Failure::NoAddress | Failure::Refused(_)) => Seen::Changed,
            Err(Failure::Silent | Failure::Garbled(_)) => Seen::Silent,
        }
    }

    async fn look_by_pcp(&self, first: &Mapping) -> Result<(IpAddr, Option<u32>, bool), Failure> {
        let socket = self.socket()?;
        let map = self.pcp(first.want, first.external, LEASE);
        let answer = granted(&socket, &map.encode(), &|bytes| map.answer(bytes)).await?;
        let address = answer.address.ok_or(Failure::NoAddress)?;
        Ok((address, answer.epoch, answer.external == first.external))
    }

    /// Gives everything back. Takes at most `time`.
    pub async fn remove(&self, held: &Held, time: Duration) {
        let work = async {
            for mapping in &held.mappings {
                let want = mapping.want;
                let gone = match held.way {
                    Way::Pcp => {
                        let map = self.pcp(want, mapping.external, Duration::ZERO);
                        self.give_back(&map.encode(), &|bytes| map.answer(bytes))
                            .await
                    }
                    Way::NatPmp => {
                        let map = natpmp::Map {
                            want,
                            wish: 0,
                            lease: Duration::ZERO,
                        };
                        self.give_back(&map.encode(), &|bytes| map.answer(bytes))
                            .await
                    }
                    Way::Upnp => match &held.service {
                        Some(service) => {
                            let asked = soap::delete(service, mapping.external, want);
                            let put = put(&asked, "").await;
                            put.and_then(|put| put.map(|_| ()).map_err(|fault| fault.failure()))
                        }
                        None => Ok(()),
                    },
                };
                if let Err(failure) = gone {
                    log::debug!(
                        "{} {} was not given back: {failure}",
                        want.transport.name(),
                        want.port
                    );
                }
            }
            Some(())
        };
        if within(time, work).await.is_none() {
            log::debug!("the gateway did not take the ports back in time; their leases end");
        }
    }

    async fn give_back(&self, bytes: &[u8], hear: &Read<'_>) -> Result<(), Failure> {
        let socket = self.socket()?;
        granted(&socket, bytes, hear).await.map(|_| ())
    }
}

/// Reads an answer; none: it is another one's.
type Read<'a> = dyn Fn(&[u8]) -> Option<Result<Granted, Failure>> + Sync + 'a;

/// Which of two failures tells more.
fn rank(failure: &Failure) -> u8 {
    match failure {
        Failure::Silent => 0,
        Failure::Garbled(_) => 1,
        Failure::Refused(_) => 2,
        Failure::NoAddress => 3,
    }
}

/// Asks by datagram for one port.
async fn granted(
    socket: &Async<UdpSocket>,
    question: &[u8],
    read: &Read<'_>,
) -> Result<Granted, Failure> {
    let mut answer = Err(Failure::Silent);
    ask(socket, question, &mut |bytes| match read(bytes) {
        Some(found) => {
            answer = found;
            true
        }
        None => false,
    })
    .await?;
    answer
}

async fn nat_pmp_address(socket: &Async<UdpSocket>) -> Result<(Ipv4Addr, u32), Failure> {
    let mut answer = Err(Failure::Silent);
    ask(
        socket,
        &natpmp::ADDRESS,
        &mut |bytes| match natpmp::address(bytes) {
            Some(found) => {
                answer = found;
                true
            }
            None => false,
        },
    )
    .await?;
    answer
}

/// Puts a question by SOAP; a field of the answer.
async fn put(asked: &Ask, field: &str) -> Result<Result<Option<String>, Fault>, Failure> {
    let answer = fetch(asked.place(), &asked.request()).await?;
    let found = asked.answer(&answer, field);
    Ok(found.map(|value| value.map(str::to_owned)))
}

async fn upnp_address(service: &Service) -> Result<Ipv4Addr, Failure> {
    let asked = soap::external_address(service);
    let told = put(&asked, "NewExternalIPAddress").await?;
    let told = told.map_err(|fault| fault.failure())?;
    let address = told.and_then(|text| text.parse::<Ipv4Addr>().ok());
    address
        .filter(|ip| !ip.is_unspecified())
        .ok_or(Failure::NoAddress)
}

async fn look_by_upnp(
    held: &Held,
    first: &Mapping,
) -> Result<(IpAddr, Option<u32>, bool), Failure> {
    let service = held.service.as_ref().ok_or(Failure::Silent)?;
    let address = upnp_address(service).await?;
    let asked = soap::look(service, first.external, first.want);
    let there = match put(&asked, "NewInternalClient").await? {
        Err(Fault::Code(soap::NO_SUCH_ENTRY)) => false,
        // Boxes that do not know the question have other virtues.
        _ => true,
    };
    Ok((address.into(), None, there))
}
