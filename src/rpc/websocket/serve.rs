//! The conversation over a WebSocket.

use super::super::answer::Ask;
use super::super::asker::Asker;
use super::super::connection::House;
use super::super::events::stream::{full, ready};
use super::super::events::{Next, Subscription};
use super::super::head::Question;
use super::super::jsonrpc::Outcome;
use super::super::limits::{EVENTS_STEP, LISTENER_WRITE, PING, WEBSOCKET_IDLE};
use super::super::wire::{End, Wire};
use super::frame::{self, Decoder, Incoming, Violation};
use super::handshake::Key;
use super::subscriptions::{lost, Subscriptions};
use async_io::Timer;
use smol::future;
use std::time::Instant;

/// What happened to the connection.
enum Turn {
    Heard(Next),
    Sent(Result<Vec<u8>, End>),
    /// It is time for a ping.
    Due,
    /// The node stops.
    Stop,
}

/// One WebSocket.
struct Talk<'a> {
    house: &'a House,
    asker: Asker,
    /// What is not shortened, for an asker who may not see everything.
    names: Option<Vec<String>>,
    subscriptions: Subscriptions,
    listening: Option<Subscription>,
    /// When a message came or an event went last.
    busy: Instant,
}

/// Talks with the client until one of the two has enough.
pub(in crate::rpc) async fn serve(
    house: &House,
    wire: &mut Wire,
    key: Key,
    asker: Asker,
) -> Result<(), End> {
    wire.send(key.answer().as_bytes(), house).await?;
    let mut talk = Talk {
        house,
        asker,
        names: (!asker.sees_all()).then(|| house.view.names()),
        subscriptions: Subscriptions::default(),
        listening: None,
        busy: Instant::now(),
    };
    let mut decoder = Decoder::default();
    let mut due = Instant::now() + PING;
    let mut unanswered = 0;
    loop {
        let turn = {
            let heard = async {
                match &talk.listening {
                    Some(subscription) => Turn::Heard(subscription.next().await),
                    None => future::pending().await,
                }
            };
            let stop = async {
                let _ = house.stopping.recv().await;
                Turn::Stop
            };
            let sent = async { Turn::Sent(wire.read_some().await) };
            let ping = async {
                Timer::at(due).await;
                Turn::Due
            };
            future::or(future::or(stop, sent), future::or(heard, ping)).await
        };
        match turn {
            Turn::Stop => return end(wire, frame::GOING_AWAY, "the node stops").await,
            Turn::Due if unanswered >= 2 => return Err(End::Gone),
            Turn::Due if talk.busy.elapsed() >= WEBSOCKET_IDLE => {
                return end(wire, frame::NORMAL, "nothing was said for an hour").await
            }
            Turn::Due => {
                unanswered += 1;
                due = Instant::now() + PING;
                wire.send_within(&frame::ping(), LISTENER_WRITE).await?;
            }
            Turn::Heard(next) => {
                talk.busy = Instant::now();
                let bytes = talk.tell(next);
                wire.send_within(&bytes, LISTENER_WRITE).await?;
            }
            Turn::Sent(bytes) => {
                let bytes = bytes?;
                if bytes.is_empty() {
                    return Err(End::Gone);
                }
                unanswered = 0;
                let mut rest = bytes.as_slice();
                loop {
                    match decoder.feed(&mut rest) {
                        Ok(Some(Incoming::Close(code))) => {
                            let code = code.unwrap_or(frame::NORMAL);
                            return end(wire, code, "").await;
                        }
                        Ok(Some(message)) => {
                            if let Some(answer) = talk.take(message).await {
                                wire.send_within(&answer, LISTENER_WRITE).await?;
                            }
                        }
                        Ok(None) => break,
                        Err(Violation { code, text }) => return end(wire, code, text).await,
                    }
                    // Who sends ahead must not keep the executor to himself.
                    future::yield_now().await;
                }
            }
        }
    }
}

/// Says that it is over, and why.
async fn end(wire: &mut Wire, code: u16, why: &str) -> Result<(), End> {
    wire.send_within(&frame::close(code, why), LISTENER_WRITE)
        .await?;
    wire.linger().await;
    Ok(())
}

impl Talk<'_> {
    /// What has to be sent for an event, and for those that are ready behind it.
    fn tell(&self, first: Next) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut next = Some(first);
        while let Some(one) = next {
            match one {
                Next::Lost(count) => bytes.extend_from_slice(&frame::text(&lost(count))),
                Next::Event(event) => {
                    let data = match &self.names {
                        Some(names) => event.shortened(names),
                        None => event.data(),
                    };
                    for message in self.subscriptions.tell(&event, data) {
                        bytes.extend_from_slice(&frame::text(&message));
                    }
                }
            }
            let more = bytes.len() < EVENTS_STEP;
            next = self.listening.as_ref().filter(|_| more).and_then(ready);
        }
        bytes
    }

    /// The frame that answers a message, if one does.
    async fn take(&mut self, message: Incoming) -> Option<Vec<u8>> {
        match message {
            Incoming::Ping(payload) => Some(frame::pong(&payload)),
            Incoming::Pong | Incoming::Close(_) => None,
            Incoming::Text(text) => {
                self.busy = Instant::now();
                let answer = match self.subscriptions.answer(&text) {
                    Some(answer) => self.listen().unwrap_or(answer),
                    None => self.call(text).await,
                };
                (!answer.is_empty()).then(|| frame::text(&answer))
            }
        }
    }

    /// Sees to it that everything subscribed to is heard; else says why not.
    fn listen(&mut self) -> Option<String> {
        let topics = self.subscriptions.topics();
        match &self.listening {
            _ if topics.is_empty() => self.listening = None,
            Some(subscription) => subscription.change(topics),
            None => {
                self.listening = self.house.view.events().subscribe(topics, None);
                if self.listening.is_none() {
                    self.subscriptions = Subscriptions::default();
                    let (refused, _) = full().parts();
                    return String::from_utf8(refused.body).ok();
                }
            }
        }
        None
    }

    /// A call, or a batch of them, by the way of a POST.
    async fn call(&self, text: String) -> String {
        let dispatch = &self.house.dispatch;
        let ask = Ask {
            question: Question::Rpc,
            asker: self.asker,
            number: 0,
            body: text.into_bytes(),
        };
        let seat = dispatch.seat().await;
        let answer = match dispatch.ask(ask, seat).await {
            Ok(Outcome::Now(answer)) => answer,
            Ok(Outcome::Later(pending)) => dispatch.wait(pending).await,
            Err(refusal) => refusal.parts().0,
        };
        String::from_utf8(answer.body).unwrap_or_default()
    }
}
