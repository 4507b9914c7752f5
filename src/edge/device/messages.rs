//! Small messages from device to device: delivered, or refused with a reason.
//!
//! A message rides on a port of its own ([`MESSAGES`]), with TLS from device to
//! device inside, so that no node reads it, and with the credit of any port:
//!
//! ```text
//! sender      length:16 (big-endian) || bytes, then the end of its direction
//! receiver    status:8 || reason (UTF-8, nothing after 0), then the end of its own
//! ```
//!
//! Status 0: the receiving program has it. 1: too many messages wait there, try
//! again. 2: that was no message. Others are refusals, too.

use super::events::Offer;
use super::publisher::Access;
use super::stream::Stream;
use super::Device;
use crate::identity::Address;
use crate::ports::local::End;
use crate::task;
use crate::task::channel::{bounded, Receiver, Sender};
use crate::wire::code::Code;
use crate::wire::control::{short_text, MESSAGES, TEXT_MAX};
use async_io::Timer;
use smol::{Executor, Task};
use std::sync::Arc;
use std::time::Duration;

/// Longest message in bytes. It is for words and readings; what is larger is
/// worth a connection.
pub const MESSAGE_MAX: usize = 8 * 1024;
/// Messages that a device takes at once. Each costs a handshake of half a
/// millisecond, and up to 64 KiB, the first credit of its port.
const AT_ONCE: usize = 32;
/// Messages that wait for the program: half a megabyte.
const WAITING_MAX: usize = 64;
/// How long a message may take from the opening of its port to the answer.
const MESSAGE_TIME: Duration = Duration::from_secs(20);

const DELIVERED: u8 = 0;
const BUSY: u8 = 1;
const MALFORMED: u8 = 2;

/// What a device was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sending device, as its key has proven.
    pub from: Address,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Where a device's messages arrive. Keep it as long as they should.
pub struct Mailbox {
    messages: Receiver<Message>,
    _serving: Task<()>,
}

impl Mailbox {
    /// The next message, in the order of arrival.
    pub async fn next_message(&self) -> Message {
        match self.messages.recv().await {
            Ok(message) => message,
            // The device is gone, and nothing comes any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Device {
    /// Sends `bytes` to `peer` and waits until its program has them.
    ///
    /// # Errors
    /// As [`Device::tunnel`]; the message is too long; the device refused it, or
    /// did not answer in time (it may have it, or not).
    pub async fn send_message(&self, peer: Address, bytes: &[u8]) -> Result<(), End> {
        let length = match u16::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= MESSAGE_MAX => length,
            _ => {
                let text = format!(
                    "a message has at most {MESSAGE_MAX} bytes, this one has {}: send it in parts, or publish a port for it",
                    bytes.len()
                );
                return Err(End::new(Code::MESSAGE, text));
            }
        };
        let tunnel = self.tunnel(peer, MESSAGES).await?;
        let mut stream = Stream::new(tunnel);
        let exchange = async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(bytes).await?;
            stream.finish().await?;
            stream.read_to_end(1 + TEXT_MAX).await
        };
        let answer = smol::future::or(exchange, late("the device did not answer in time")).await?;
        match answer.split_first() {
            Some((&DELIVERED, _)) => Ok(()),
            Some((_, reason)) => {
                let reason = String::from_utf8_lossy(reason);
                let text = format!("the device did not take the message: {reason}");
                Err(End::new(Code::MESSAGE, short_text(&text)))
            }
            None => {
                let text = "the device ended without an answer; it may have the message";
                Err(End::new(Code::NO_ANSWER, text))
            }
        }
    }

    /// Takes messages from those whom `access` lets, now and after every
    /// reconnect. Call it once a device.
    #[must_use]
    pub fn listen_for_messages(
        &self,
        access: Access,
        executor: &Arc<Executor<'static>>,
    ) -> Mailbox {
        let (inbox, messages) = bounded(WAITING_MAX);
        self.publish(MESSAGES, access.list());
        let serving = serve(self.clone(), access, inbox, executor.clone());
        Mailbox {
            messages,
            _serving: task::spawn(executor, serving),
        }
    }
}

async fn serve(
    device: Device,
    access: Access,
    inbox: Sender<Message>,
    executor: Arc<Executor<'static>>,
) {
    let access = Arc::new(access);
    // Its clones are counted: one here, one with each message that comes.
    let place = Arc::new(());
    while let Ok(port) = device.letters.recv().await {
        let offer = Offer {
            port,
            shared: device.shared.clone(),
        };
        if Arc::strong_count(&place) > AT_ONCE {
            offer.refuse(
                Code::TOO_MANY_OPENINGS,
                "too many messages come at once; try again",
            );
            continue;
        }
        let (access, inbox, place) = (access.clone(), inbox.clone(), place.clone());
        task::spawn(&executor, async move {
            let from = offer.opener();
            let taken = take(offer, &access, &inbox);
            if let Err(end) = smol::future::or(taken, late("the message took too long")).await {
                log::debug!("a message of {from} was not taken: {end}");
            }
            drop(place);
        })
        .detach();
    }
}

/// Takes one message and answers it.
async fn take(offer: Offer, access: &Access, inbox: &Sender<Message>) -> Result<(), End> {
    let tunnel = offer.accept(|who| access.check(who, MESSAGES)).await?;
    let from = tunnel.proven();
    let mut stream = Stream::new(tunnel);
    let bytes = stream.read_to_end(2 + MESSAGE_MAX + 1).await?;
    let (status, reason) = match (from, parse(bytes)) {
        (Some(from), Some(bytes)) => match inbox.try_send(Message { from, bytes }) {
            Ok(()) => (DELIVERED, ""),
            Err(_) => (
                BUSY,
                "too many messages wait for its program; try again later",
            ),
        },
        _ => (MALFORMED, "it is cut short, too long, or no message at all"),
    };
    let mut answer = vec![status];
    answer.extend_from_slice(reason.as_bytes());
    stream.write_all(&answer).await?;
    stream.finish().await
}

/// The message in what a sender has sent up to its end.
fn parse(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length > MESSAGE_MAX || rest.len() != length {
        return None;
    }
    bytes.drain(..2);
    Some(bytes)
}

async fn late<T>(text: &str) -> Result<T, End> {
    Timer::after(MESSAGE_TIME).await;
    Err(End::new(Code::NO_ANSWER, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_message_within_its_bound_is_one() {
        let message = |length: usize, bytes: usize| {
            let mut all = (length as u16).to_be_bytes().to_vec();
            all.resize(2 + bytes, 7);
            parse(all).map(|m| m.len())
        };
        for length in [0, 1, 255, 256, MESSAGE_MAX] {
            assert_eq!(message(length, length), Some(length));
        }
        for (length, bytes) in [
            (1, 0),
            (0, 1),
            (256, 255),
            (3, 4),
            (MESSAGE_MAX + 1, MESSAGE_MAX + 1),
            (65_535, 65_535),
        ] {
            assert_eq!(message(length, bytes), None, "{length} {bytes}");
        }
        assert_eq!(parse(vec![]), None);
        assert_eq!(parse(vec![0]), None);
    }
}
