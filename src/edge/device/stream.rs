//! A tunnel with `async` calls, for programs that use the library.

use super::tunnel::Tunnel;
use crate::identity::Address;
use crate::ports::local::End;
use std::future::poll_fn;
use std::task::Poll;

/// A connection to a port of another device.
pub struct Stream {
    tunnel: Tunnel,
}

impl Stream {
    /// A stream over a tunnel that stands.
    #[must_use]
    pub fn new(tunnel: Tunnel) -> Stream {
        Stream { tunnel }
    }

    /// The device at the other end.
    #[must_use]
    pub fn peer(&self) -> Address {
        self.tunnel.port().peer()
    }

    /// The next bytes; empty when the other side has finished.
    ///
    /// # Errors
    /// The port was given up, or the stream was cut on the way.
    pub async fn read(&mut self) -> Result<Vec<u8>, End> {
        let mut bytes = Vec::new();
        poll_fn(|cx| self.tunnel.poll_fill(cx, &mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads up to the end of the other side, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Stream::read`].
    pub async fn read_to_end(&mut self, limit: usize) -> Result<Vec<u8>, End> {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            if poll_fn(|cx| self.tunnel.poll_fill(cx, &mut bytes)).await? == 0 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Sends all of `bytes`, as fast as the other side takes them.
    ///
    /// # Errors
    /// The port was given up.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            poll_fn(|cx| {
                let room = match self.tunnel.poll_room(cx) {
                    Poll::Ready(room) => room?,
                    Poll::Pending => return Poll::Pending,
                };
                let (part, rest) = bytes.split_at(room.min(bytes.len()));
                self.tunnel.put(cx, part)?;
                bytes = rest;
                Poll::Ready(Ok(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Ends this side's direction; reading goes on.
    ///
    /// # Errors
    /// The port was given up.
    pub async fn finish(&mut self) -> Result<(), End> {
        poll_fn(|cx| self.tunnel.poll_finish(cx)).await
    }
}
