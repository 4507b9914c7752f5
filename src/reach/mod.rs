//! The router's ports: how others reach a node that stands behind a NAT, or behind
//! a firewall for IPv6.
//!
//! The way in, in the order in which it happens:
//!
//! 1. [`crate::platform::routes`] says who the gateway is. Nobody else is ever
//!    believed: datagrams come in by a socket that is connected to it, and web
//!    addresses that lead elsewhere are refused.
//! 2. The gateway is asked for each port by the first of three ways that it knows:
//!    PCP ([`pcp`], RFC 6887), NAT-PMP ([`natpmp`], RFC 6886), UPnP ([`ssdp`] finds
//!    the service, [`igd`] describes it, [`soap`] asks it).
//! 3. [`plan`] says when mappings are renewed, looked at, asked for anew and given
//!    up; it has neither clock nor sockets. [`client`] carries it out.
//! 4. [`outside`] judges the address that the gateway gave: a private one means a
//!    second NAT, a shared one the provider's.
//!
//! For IPv6 there is PCP alone: what it maps there are holes in the firewall, with
//! the node's own address outside.
//!
//! Everything that comes from the gateway is a stranger's word: bounded in bytes,
//! items and time, and read by machines that are tested with any bytes at all.

pub mod client;
pub mod epoch;
pub mod exchange;
pub mod http;
pub mod igd;
pub mod natpmp;
pub mod outside;
pub mod pcp;
pub mod plan;
pub mod soap;
pub mod ssdp;
pub mod xml;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How long a mapping is asked for: as long as RFC 6886 (section 3.3) recommends.
pub const LEASE: Duration = Duration::from_secs(3600 * 2);
/// A gateway that gives less is taken to have given this: renewing more often is
/// more than a few packets a minute.
pub const LEASE_MIN: Duration = Duration::from_secs(120);
/// Ports that are asked for at most: eight device ports and the peer port twice.
pub const WANTS_MAX: usize = 10;

/// A family of addresses: each has a gateway of its own, and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Behind a NAT.
    V4,
    /// Behind a firewall.
    V6,
}

/// What the port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl Transport {
    /// Its number (IANA protocol numbers).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        }
    }

    /// As UPnP and people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        }
    }
}

/// A port that others should reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// What it takes.
    pub transport: Transport,
    /// Its number here.
    pub port: u16,
}

/// A port of the gateway that leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it leads.
    pub want: Want,
    /// Its number outside.
    pub external: u16,
    /// For how long.
    pub lease: Duration,
}

/// By which protocol the gateway is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// RFC 6887
    Pcp,
    /// RFC 6886
    NatPmp,
    /// UPnP's Internet Gateway Device.
    Upnp,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Pcp => "PCP",
            Way::NatPmp => "NAT-PMP",
            Way::Upnp => "UPnP",
        })
    }
}

/// Why there is no mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers, or not by this protocol: the next one is tried.
    Silent,
    /// The gateway speaks it and refuses; its word.
    Refused(String),
    /// It has no usable address of its own: a second NAT, or its line is down.
    NoAddress,
    /// What it said makes no sense.
    Garbled(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silent => f.write_str("it does not answer"),
            Failure::Refused(word) => write!(f, "it refuses: {word}"),
            Failure::NoAddress => f.write_str("it has no public address itself"),
            Failure::Garbled(what) => write!(f, "its answer makes no sense: {what}"),
        }
    }
}

/// What a request for a mapping was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The port outside.
    pub external: u16,
    /// For how long.
    pub lease: Duration,
    /// The gateway's address outside, where the answer has it.
    pub address: Option<IpAddr>,
    /// The gateway's clock, where it has one.
    pub epoch: Option<u32>,
}
