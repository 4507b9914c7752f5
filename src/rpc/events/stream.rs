//! `/events`: one listener's connection, from its request to its end.

use super::super::asker::Asker;
use super::super::connection::House;
use super::super::limits::{EVENTS_STEP, HEARTBEAT, LISTENER_WRITE};
use super::super::reply::Refusal;
use super::super::wire::{End, Wire};
use super::sse::{self, Wish};
use super::{Next, Subscription};
use async_io::Timer;
use smol::future;
use std::task::{Context, Poll, Waker};

/// What happened to the connection.
enum Turn {
    /// There is something to tell.
    Heard(Next),
    /// Nothing happened for a while.
    Quiet,
    /// The other side sent something, which means nothing here, or is gone.
    Sent(Result<Vec<u8>, End>),
    /// The node stops.
    Stop,
}

/// Why nobody more can listen.
pub(in crate::rpc) fn full() -> Refusal {
    Refusal::unavailable("as many listen already as can; ask again")
}

/// What is ready now, without waiting.
pub(in crate::rpc) fn ready(subscription: &Subscription) -> Option<Next> {
    let mut context = Context::from_waker(Waker::noop());
    match subscription.poll_next(&mut context) {
        Poll::Ready(next) => Some(next),
        Poll::Pending => None,
    }
}

/// Tells the client what happens until one of the two has enough.
pub(in crate::rpc) async fn serve(
    house: &House,
    wire: &mut Wire,
    wish: Wish,
    asker: Asker,
) -> Result<(), End> {
    let hub = house.view.events();
    let Some(subscription) = hub.subscribe(wish.topics, wish.after) else {
        return Err(End::Refused(full()));
    };
    let names = (!asker.sees_all()).then(|| house.view.names());
    let told = |next: Next| match next {
        Next::Lost(count) => sse::lost(count),
        Next::Event(event) => match &names {
            Some(names) => sse::encode(&event, event.shortened(names)),
            None => sse::encode(&event, event.data()),
        },
    };
    wire.send_within(sse::HEAD.as_bytes(), LISTENER_WRITE)
        .await?;
    loop {
        let heard = async { Turn::Heard(subscription.next().await) };
        let quiet = async {
            Timer::after(HEARTBEAT).await;
            Turn::Quiet
        };
        let stop = async {
            let _ = house.stopping.recv().await;
            Turn::Stop
        };
        let sent = async { Turn::Sent(wire.read_some().await) };
        let turn = future::or(future::or(stop, heard), future::or(sent, quiet)).await;
        let text = match turn {
            Turn::Heard(next) => {
                let mut text = told(next);
                while text.len() < EVENTS_STEP {
                    match ready(&subscription) {
                        Some(next) => text.push_str(&told(next)),
                        None => break,
                    }
                }
                text
            }
            Turn::Quiet => sse::HEARTBEAT.to_owned(),
            Turn::Sent(bytes) => {
                if bytes?.is_empty() {
                    return Err(End::Gone);
                }
                // Whoever talks into a stream of events must not keep the executor to himself.
                future::yield_now().await;
                continue;
            }
            Turn::Stop => return Ok(()),
        };
        wire.send_within(text.as_bytes(), LISTENER_WRITE).await?;
    }
}
