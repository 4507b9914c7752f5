//! Finds a host and connects to it: the resolver runs where it may block.

use crate::platform::resolver;
use crate::platform::socket::Tuning;
use crate::task;
use async_io::{Async, Timer};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a TCP connection to one address may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// The addresses of a host name or IP address.
///
/// # Errors
/// In words: the name is not found, whom was asked, and what to do.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let found = task::unblock(move || resolver::lookup(&name)).await?;
    Ok(found
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect())
}

/// Whether a host is this machine by its name: it is reached without a network.
#[must_use]
pub fn is_here(host: &str) -> bool {
    let ip: Option<IpAddr> = host.parse().ok();
    host == "localhost" || ip.is_some_and(|ip| ip.is_loopback())
}

/// Connects to the first address that answers.
///
/// # Errors
/// In words, what the last address said.
pub async fn dial(host: &str, port: u16, tuning: Tuning) -> Result<Async<TcpStream>, String> {
    let mut last = String::new();
    for address in addresses(host, port).await? {
        match connect(address, CONNECT_TIME, tuning).await {
            Ok(socket) => return Ok(socket),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Connects to one address within `time`.
///
/// # Errors
/// In words, without the address.
pub async fn connect(
    address: SocketAddr,
    time: Duration,
    tuning: Tuning,
) -> Result<Async<TcpStream>, String> {
    let late = async {
        Timer::after(time).await;
        Err(ErrorKind::TimedOut.into())
    };
    match smol::future::or(Async::<TcpStream>::connect(address), late).await {
        Ok(socket) => {
            if let Err(e) = tuning.apply(&socket) {
                log::debug!("socket options of {address}: {e}");
            }
            Ok(socket)
        }
        Err(e) => Err(match e.kind() {
            ErrorKind::TimedOut => format!("no answer within {} s", time.as_secs()),
            ErrorKind::ConnectionRefused => "connection refused".into(),
            _ => e.to_string(),
        }),
    }
}
