//! Whether the machine has a network, and when it gets another one.
//!
//! On Linux the kernel tells by netlink, so nothing wakes up while nothing
//! happens: what comes there is not parsed, it says that it is time to look.
//! Where that is refused (apps on Android) or unknown, somebody looks now and then.
//! What is compared are the addresses of interfaces that run, and the default
//! routes: a change of either ends what went over the old ones. A build without the
//! part `power` does not watch: it is for routers, which are the network.

use super::{routes, saver};
use crate::parts::POWER;
use crate::sorted;
use async_io::Timer;
use nix::net::if_::InterfaceFlags;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Addresses and routes that belong together come one after the other.
const SETTLED: Duration = Duration::from_millis(500);
/// How often to look where nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same while power is saved.
const LOOK_SAVING: Duration = Duration::from_secs(120);

/// What became of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is one again.
    Up,
    /// There is none any more, but for the machine's own.
    Down,
    /// It is another one: connections over the old one may be dead.
    Moved,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Addresses by which others can be reached, in order.
    addresses: Vec<IpAddr>,
    /// Interface and gateway of default routes, as the kernel has them.
    routes: Vec<String>,
}

impl State {
    /// As it is now.
    #[must_use]
    pub fn read() -> State {
        State::read_below(Path::new("/"))
    }

    fn read_below(root: &Path) -> State {
        let mut addresses: Vec<IpAddr> = running().into_iter().map(|(_, ip)| ip).collect();
        sorted::sort_and_dedup(&mut addresses);
        let mut routes = routes::described(root);
        sorted::sort_and_dedup(&mut routes);
        State { addresses, routes }
    }

    /// Whether others can be reached at all.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// What it means that `self` has become `next`.
    #[must_use]
    pub fn compare(&self, next: &State) -> Option<Change> {
        match (self.is_up(), next.is_up()) {
            (true, false) => Some(Change::Down),
            (false, true) => Some(Change::Up),
            (true, true) if self != next => Some(Change::Moved),
            _ => None,
        }
    }
}

/// Names of interfaces that have an address by which others can be reached.
#[must_use]
pub fn interfaces() -> Vec<String> {
    running().into_iter().map(|(name, _)| name).collect()
}

/// Addresses of interfaces that run, without those that lead nowhere.
fn running() -> Vec<(String, IpAddr)> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    found
        .filter(|interface| interface.flags.contains(running))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let ip = v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))?;
            Some((interface.interface_name, ip))
        })
        .filter(|(_, ip)| leads_elsewhere(*ip))
        .collect()
}

fn leads_elsewhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && (v6.segments()[0] & 0xffc0) != 0xfe80,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod news {
    use async_io::Async;
    use nix::sys::socket::{
        bind, recv, socket, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType,
    };
    use std::os::fd::{AsRawFd, OwnedFd};

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR,
    /// RTMGRP_IPV6_ROUTE of rtnetlink(7).
    const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

    pub struct News(Async<OwnedFd>);

    impl News {
        pub fn open() -> Option<News> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let kind = SockType::Raw;
            let protocol = SockProtocol::NetlinkRoute;
            let socket = socket(AddressFamily::Netlink, kind, flags, protocol).ok()?;
            bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).ok()?;
            Async::new_nonblocking(socket).ok().map(News)
        }

        /// Resolves when there is something.
        pub async fn wait(&self) -> std::io::Result<()> {
            self.0.readable().await
        }

        /// Throws away what has come: it was a hint. Messages that did not fit are
        /// an error once, and as good a hint.
        pub fn empty(&self) {
            let mut buffer = [0; 4096];
            for _ in 0..1024 {
                let fd = self.0.get_ref().as_raw_fd();
                match recv(fd, &mut buffer, MsgFlags::MSG_DONTWAIT) {
                    Ok(0) | Err(nix::errno::Errno::EAGAIN) => return,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod news {
    pub struct News(std::convert::Infallible);

    impl News {
        pub fn open() -> Option<News> {
            None
        }
        pub async fn wait(&self) -> std::io::Result<()> {
            match self.0 {}
        }
        pub fn empty(&self) {}
    }
}

/// See the module's text. Takes one descriptor on Linux.
pub struct Links {
    news: Option<news::News>,
    state: State,
    /// The next look; whoever waits for changes may wait for other things in between.
    due: Option<Instant>,
    /// How it is seen what there is.
    read: Box<dyn FnMut() -> State + Send>,
    /// How often, where nobody tells; and while power or bytes are saved.
    every: [Duration; 2],
}

impl Links {
    /// Begins to watch.
    #[must_use]
    pub fn new() -> Links {
        if !POWER.built {
            return Links::with(None, Box::new(State::default));
        }
        // The kernel is asked to tell before the first look: nothing is missed.
        Links::with(news::News::open(), Box::new(State::read))
    }

    fn with(news: Option<news::News>, mut read: Box<dyn FnMut() -> State + Send>) -> Links {
        Links {
            state: read(),
            due: None,
            news,
            read,
            every: [LOOK_EVERY, LOOK_SAVING],
        }
    }

    /// Whether changes are told at once. Else they are seen some time later.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.news.is_some()
    }

    /// Whether there is a network, by the latest look.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state.is_up()
    }

    /// Waits for the next change. May be dropped at any time.
    pub async fn changed(&mut self) -> Change {
        if !POWER.built {
            return std::future::pending().await;
        }
        loop {
            let due = match self.due {
                Some(due) => due,
                None => {
                    let wait = self.next_look().await;
                    *self.due.insert(Instant::now() + wait)
                }
            };
            Timer::at(due).await;
            self.due = None;
            if let Some(news) = &self.news {
                news.empty();
            }
            if let Some(change) = self.look() {
                return change;
            }
        }
    }

    /// Waits for news, where there are any; how long it is to the next look from then.
    async fn next_look(&mut self) -> Duration {
        if let Some(news) = &self.news {
            if news.wait().await.is_ok() {
                return SETTLED;
            }
        }
        self.news = None;
        let [every, saving] = self.every;
        if saver::is_on() {
            saving
        } else {
            every
        }
    }

    fn look(&mut self) -> Option<Change> {
        let next = (self.read)();
        let change = self.state.compare(&next);
        self.state = next;
        change
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn state(addresses: &[&str], routes: &[&str]) -> State {
        State {
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
        }
    }

    #[test]
    fn a_phone_that_goes_from_wifi_to_the_carrier_and_into_a_lift_is_followed() {
        let wifi = state(&["192.168.0.7"], &["wlan0 0100A8C0"]);
        let carrier = state(&["100.64.1.9"], &["rmnet0 00000000"]);
        let nothing = State::default();
        assert_eq!(wifi.compare(&wifi), None);
        assert_eq!(wifi.compare(&carrier), Some(Change::Moved));
        assert_eq!(carrier.compare(&nothing), Some(Change::Down));
        assert_eq!(nothing.compare(&nothing), None);
        assert_eq!(nothing.compare(&wifi), Some(Change::Up));
        // Another router that gave the same address.
        let other = state(&["192.168.0.7"], &["eth0 0100A8C0"]);
        assert_eq!(wifi.compare(&other), Some(Change::Moved));
    }

    #[test]
    fn addresses_that_lead_nowhere_are_no_network() {
        for ip in ["127.0.0.1", "::1", "169.254.3.4", "fe80::1"] {
            assert!(!leads_elsewhere(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["10.1.2.3", "fd00::1", "2001:db8::1"] {
            assert!(leads_elsewhere(ip.parse().unwrap()), "{ip}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_lets_us_listen_and_says_nothing_by_itself() {
        smol::block_on(async {
            let Some(news) = news::News::open() else {
                return println!("skipped: netlink is not to be had here");
            };
            news.empty();
            let late = async {
                Timer::after(Duration::from_millis(50)).await;
                false
            };
            let told = async { news.wait().await.is_ok() };
            // A machine whose network changes just now is no failure.
            let _ = smol::future::or(told, late).await;
        });
    }

    #[test]
    fn where_the_kernel_tells_nothing_each_change_is_seen_at_the_next_look() {
        let home = || state(&["192.168.0.7"], &["wlan0 192.168.0.1"]);
        let nothing = State::default;
        // Begun in the lift; seen there three times without a change.
        let mut seen = vec![home(), nothing(), home(), home(), nothing(), nothing()];
        let read = move || seen.pop().unwrap_or_default();
        let mut links = Links::with(None, Box::new(read));
        links.every = [Duration::from_millis(2); 2];
        assert!(!links.is_told() && !links.is_up());
        smol::block_on(async {
            let mut looks = Vec::new();
            for _ in 0..4 {
                looks.push((links.changed().await, links.is_up()));
            }
            let up = (Change::Up, true);
            let down = (Change::Down, false);
            assert_eq!(looks, [up, down, up, down]);
        });
    }

    #[test]
    fn whoever_waits_for_other_things_in_between_does_not_put_the_look_off_for_ever() {
        let mut seen = vec![State::default(), state(&["192.168.0.7"], &[])];
        let mut links = Links::with(None, Box::new(move || seen.pop().unwrap_or_default()));
        links.every = [Duration::from_millis(50); 2];
        let begun = Instant::now();
        let seen = smol::block_on(async {
            while begun.elapsed() < Duration::from_secs(20) {
                let other = async {
                    Timer::after(Duration::from_millis(5)).await;
                    None
                };
                let change = async { Some(links.changed().await) };
                if let Some(change) = smol::future::or(change, other).await {
                    return Some(change);
                }
            }
            None
        });
        assert_eq!(seen, Some(Change::Down));
    }
}
