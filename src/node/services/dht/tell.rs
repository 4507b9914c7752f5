//! The devices that are here are signed and told to the network.

use crate::dht::service::Handle;
use crate::dht::{Outcome, ValidRecord};
use crate::liveness::Beat;
use crate::node::house::House;
use crate::platform::clock::on_the_second;
use crate::task;
use crate::time::Clock;
use crate::wire::presence::{DevicePresence, UNTIL_MAX};
use async_io::Timer;
use smol::future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A time further away than this can wait for other timers.
const FAR: Duration = Duration::from_secs(5);

/// Signs and publishes the devices that are here, one after the other, for ever.
pub(super) async fn tell(house: Arc<House>, handle: Handle, beat: Beat) {
    let presences = &house.network.presences;
    loop {
        while let Some(said) = presences.take() {
            task::spawn(
                &house.executor,
                tell_one(house.clone(), handle.clone(), said),
            )
            .detach();
        }
        let now = house.clock.now();
        let due = presences.wait().map(|due| {
            let wait = due.since(now).max(Duration::from_millis(1));
            if wait >= FAR {
                on_the_second(wait)
            } else {
                Instant::now() + wait
            }
        });
        let time = async {
            match due {
                Some(due) => drop(Timer::at(due).await),
                None => future::pending().await,
            }
        };
        let woken = future::or(presences.woken(), beat.asked());
        future::or(time, woken).await;
    }
}

async fn tell_one(house: Arc<House>, handle: Handle, said: DevicePresence) {
    // Without a clock that can be believed the device's own word is the best.
    let now = house.clock.best();
    let now = now.unwrap_or_else(|| said.t.max(house.clock.floor()));
    let until = now.saturating_add(UNTIL_MAX);
    let presence = said.countersign(until, |digest| house.key().sign(digest));
    let stored = match ValidRecord::presence(&presence, house.key()) {
        Ok(record) => match handle.store(record).await {
            Outcome::Stored { at, refused, cost } => {
                let device = said.device;
                log::debug!("device {device} told to {at} nodes, {refused} refused: {cost:?}");
                at > 0
            }
            _ => false,
        },
        Err(refusal) => {
            log::warn!("the presence of device {} is none: {refusal}", said.device);
            return;
        }
    };
    house.network.presences.done(&said, stored);
}
