//! The small languages of the command line: what is published, where to listen,
//! whom to reach, and through which node.
//!
//! ```text
//! SPEC   = [[HOST:]PORT=]PORT[/tcp|/udp][:public|:protected|:private]
//! LISTEN = [IP:]PORT[/tcp|/udp]
//! TARGET = 0xADDR:PORT
//! NODE   = [0xADDR@]HOST:PORT
//! ```
//! An IPv6 address stands in brackets wherever a port follows it. Errors are
//! phrases that fit behind the text that they are about.

use crate::config::value::{host, shown};
use crate::edge::device::NodeAddress;
use crate::identity::Address;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// Who may open a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everyone.
    Public,
    /// The devices of a list that belongs to the fleet (`--fleet-devices`).
    Protected,
    /// The devices that `--allow` names.
    Private,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Public => "public",
            Mode::Protected => "protected",
            Mode::Private => "private",
        })
    }
}

/// A port to publish, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishSpec {
    /// Name or address (without brackets) of the service.
    pub host: String,
    /// The service's port.
    pub local: u16,
    /// The port that others ask for.
    pub port: u16,
    /// What it carries.
    pub protocol: Protocol,
    /// Who may open it; `None` when it was not said.
    pub mode: Option<Mode>,
}

/// Where `forward` listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 is any free one.
    pub address: SocketAddr,
    /// What it carries.
    pub protocol: Protocol,
}

/// A device's published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub device: Address,
    /// The port that it published.
    pub port: u16,
}

/// Reads `[[HOST:]PORT=]PORT[/tcp|/udp][:public|:protected|:private]`.
///
/// # Errors
/// A phrase that says what is wrong and what to write instead.
pub fn publish(text: &str) -> Result<PublishSpec, String> {
    let (service, offer) = match text.split_once('=') {
        Some((service, offer)) => (Some(service), offer),
        None => (None, text),
    };
    let (offer, mode) = match offer.split_once(':') {
        Some((offer, mode)) => match self::mode(mode) {
            Ok(mode) => (offer, Some(mode)),
            // `192.168.1.5:80` or `[::1]:80`: the host belongs before `=`.
            Err(_) if service.is_none() && offer.parse::<u16>().is_err() => return Err(
                "to offer another host's port, write HOST:PORT=PORT, such as 192.168.1.5:80=8080"
                    .to_owned(),
            ),
            Err(problem) => return Err(problem),
        },
        None => (offer, None),
    };
    let (number, protocol) = with_protocol(offer)?;
    let port = self::port(number)?;
    let (host, local) = match service {
        None => (Ipv4Addr::LOCALHOST.to_string(), port),
        Some(service) if service.contains(':') => host_and_port(service)?,
        Some(number) => (Ipv4Addr::LOCALHOST.to_string(), self::port(number)?),
    };
    Ok(PublishSpec {
        host,
        local,
        port,
        protocol,
        mode,
    })
}

/// Reads `[0xADDR@]HOST:PORT`.
///
/// # Errors
/// A phrase that says what is wrong and what to write instead.
pub fn node(text: &str) -> Result<NodeAddress, String> {
    text.parse()
}

/// Reads `[IP:]PORT[/tcp|/udp]`. Without an address it is this machine's alone.
///
/// # Errors
/// A phrase that says what is wrong and what to write instead.
pub fn listen(text: &str) -> Result<Listen, String> {
    let (place, protocol) = with_protocol(text)?;
    let (ip, number) = match place.rsplit_once(':') {
        None => (Ipv4Addr::LOCALHOST.into(), place),
        Some(("localhost", number)) => (Ipv4Addr::LOCALHOST.into(), number),
        Some((ip, number)) => (listen_ip(ip)?, number),
    };
    let port = number.parse().map_err(|_| {
        format!(
            "\"{}\" is not a port from 0 (any free one) to 65535",
            shown(number)
        )
    })?;
    Ok(Listen {
        address: (ip, port).into(),
        protocol,
    })
}

fn listen_ip(text: &str) -> Result<IpAddr, String> {
    if text == "*" {
        return Err("to listen on all addresses, write 0.0.0.0:PORT or [::]:PORT".to_owned());
    }
    match bracketed(text)? {
        Some(v6) => Ok(v6),
        None => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| {
            format!(
                "\"{}\" is not an IP address of this machine (or localhost)",
                shown(text)
            )
        }),
    }
}

/// Reads `0xADDR:PORT`.
///
/// # Errors
/// A phrase that says what is wrong and what to write instead.
pub fn target(text: &str) -> Result<Target, String> {
    let example = "write 0xADDR:PORT with the address that `publish` shows";
    let Some((who, number)) = text.rsplit_once(':') else {
        return Err(format!("the port is missing; {example}"));
    };
    no_name(who, example)?;
    if number.contains('/') {
        return Err("the protocol belongs behind LISTEN, such as 127.0.0.1:5353/udp".to_owned());
    }
    Ok(Target {
        device: device(who)?,
        port: port(number)?,
    })
}

/// Reads whom a message is for: `0xADDR`.
///
/// # Errors
/// A phrase that says what is wrong and what to write instead.
pub fn addressee(text: &str) -> Result<Address, String> {
    no_name(text, "write 0xADDR, the address that `publish` shows")?;
    device(text)
}

fn no_name(text: &str, example: &str) -> Result<(), String> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return Ok(());
    }
    Err(format!(
        "names of devices are not supported in this version; {example}"
    ))
}

/// Reads `0x` and 40 hexadecimal digits.
///
/// # Errors
/// A phrase that says what is wrong.
pub fn device(text: &str) -> Result<Address, String> {
    text.parse().map_err(|_| {
        format!(
            "\"{}\" is not an address (0x and 40 hexadecimal digits)",
            shown(text)
        )
    })
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "public" => Ok(Mode::Public),
        "protected" => Ok(Mode::Protected),
        "private" => Ok(Mode::Private),
        other => Err(format!(
            "\"{}\" is none of public, protected and private",
            shown(other)
        )),
    }
}

fn with_protocol(text: &str) -> Result<(&str, Protocol), String> {
    match text.split_once('/') {
        None => Ok((text, Protocol::Tcp)),
        Some((rest, "tcp")) => Ok((rest, Protocol::Tcp)),
        Some((rest, "udp")) => Ok((rest, Protocol::Udp)),
        Some((_, other)) => Err(format!("\"/{}\" is neither /tcp nor /udp", shown(other))),
    }
}

/// A port that can be reached: 0 cannot.
fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("\"{}\" is not a port from 1 to 65535", shown(text))),
        Ok(port) => Ok(port),
    }
}

/// `HOST:PORT`, with an IPv6 address in brackets.
fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let Some((name, number)) = text.rsplit_once(':') else {
        return Err("the port is missing; write HOST:PORT".to_owned());
    };
    let name = match bracketed(name)? {
        Some(v6) => v6.to_string(),
        None => host(name).map_err(|problem| format!("host \"{}\": {problem}", shown(name)))?,
    };
    Ok((name, port(number)?))
}

/// The IPv6 address in brackets; `None` when this is something else.
fn bracketed(text: &str) -> Result<Option<IpAddr>, String> {
    let Some(inner) = text.strip_prefix('[') else {
        // Beside a port, `::1:80` could mean two things.
        return if text.contains(':') {
            Err("an IPv6 address stands in brackets, such as [::1]:8080".to_owned())
        } else {
            Ok(None)
        };
    };
    inner
        .strip_suffix(']')
        .and_then(|inner| inner.parse().ok())
        .map(|v6: std::net::Ipv6Addr| Some(v6.into()))
        .ok_or_else(|| format!("\"{}\" is not an IPv6 address in brackets", shown(text)))
}

#[cfg(test)]
mod tests;
