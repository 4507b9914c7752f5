//! Finds a host and connects to it: the resolver runs where it may block.

use crate::platform::socket::Tuning;
use crate::task;
use async_io::{Async, Timer};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a TCP connection to one address may take.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried; a name with more is no host.
const ADDRESSES_MAX: usize = 16;

/// The addresses of a host name or IP address.
///
/// # Errors
/// In words: the name is not found, or has no address.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let lookup = task::unblock(move || {
        let found = (name.as_str(), port).to_socket_addrs()?;
        Ok::<Vec<SocketAddr>, std::io::Error>(found.take(ADDRESSES_MAX).collect())
    });
    match lookup.await {
        Ok(found) if found.is_empty() => Err("the name has no address".into()),
        Ok(found) => Ok(found),
        Err(e) => Err(format!("the name is not found ({e})")),
    }
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
