//! How connections that carry traffic are set up.

use super::sys::{set_tcp, TcpOption};
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// A peer that acknowledges nothing for this long is gone: a phone that left
/// the network is noticed well before `idle_timeout`.
pub const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How much the kernel may hold that is not on its way yet, in bytes, for each
/// connection. What *is* on its way it sizes by itself, so that a long fat path
/// is still filled; a fixed SO_SNDBUF would cap both (and at 2.5 Mbit/s for
/// 100 ms and the usual 208 KiB).
pub const UNSENT: u32 = 128 << 10;

/// Options of a connection that carries traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Whether small writes leave at once (TCP_NODELAY).
    pub no_delay: bool,
    /// Unacknowledged data for this long ends the connection (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
    /// Bytes that may wait unsent in the kernel (TCP_NOTSENT_LOWAT).
    pub unsent: Option<u32>,
    /// A fixed send buffer (SO_SNDBUF) in bytes: stops the kernel's own sizing.
    pub send_buffer: Option<usize>,
    /// A fixed receive buffer (SO_RCVBUF) in bytes: stops the kernel's own sizing.
    pub receive_buffer: Option<usize>,
}

impl Tuning {
    /// Sessions between devices and nodes.
    pub const SESSION: Self = Self {
        no_delay: true,
        user_timeout: Some(USER_TIMEOUT),
        unsent: Some(UNSENT),
        send_buffer: None,
        receive_buffer: None,
    };

    /// Connections of a device to the services that it publishes, and of the
    /// programs that use a forwarded port. How long those may be silent is
    /// theirs to say.
    pub const LOCAL: Self = Self {
        user_timeout: None,
        ..Self::SESSION
    };

    /// Applies the options to a TCP socket.
    ///
    /// # Errors
    /// The first option that the system refuses; those before it are set.
    pub fn apply(&self, fd: &impl AsFd) -> io::Result<()> {
        setsockopt(fd, sockopt::TcpNoDelay, &self.no_delay)?;
        if let Some(timeout) = self.user_timeout {
            let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
            set_tcp(fd, TcpOption::UserTimeout, millis)?;
        }
        if let Some(bytes) = self.unsent {
            set_tcp(fd, TcpOption::UnsentLowWater, bytes)?;
        }
        if let Some(bytes) = &self.send_buffer {
            setsockopt(fd, sockopt::SndBuf, bytes)?;
        }
        if let Some(bytes) = &self.receive_buffer {
            setsockopt(fd, sockopt::RcvBuf, bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_session_s_socket_is_set_up_as_promised() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Tuning::SESSION.apply(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(
            getsockopt(&stream, sockopt::TcpUserTimeout).unwrap(),
            20_000
        );
        let sized = Tuning {
            send_buffer: Some(65_536),
            receive_buffer: Some(32_768),
            ..Tuning::SESSION
        };
        sized.apply(&stream).unwrap();
        // Linux doubles what it is told, for its own bookkeeping.
        assert!((65_536..=131_072).contains(&getsockopt(&stream, sockopt::SndBuf).unwrap()));
        assert!((32_768..=65_536).contains(&getsockopt(&stream, sockopt::RcvBuf).unwrap()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_stops_taking_bytes_for_a_reader_that_stalls() {
        use std::io::{ErrorKind, Write};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Tuning::SESSION.apply(&stream).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut taken = 0usize;
        loop {
            match stream.write(&[0u8; 16 << 10]) {
                Ok(n) => taken += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{e}"),
            }
            assert!(taken < 64 << 20, "nothing holds the kernel back");
        }
    }
}
