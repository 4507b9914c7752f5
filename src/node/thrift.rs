//! What the house does about battery and heat ([`crate::node::power`] decides), and
//! about bytes that cost money.

use super::house::House;
use super::power::{Heard, Power, Sensed};
use crate::config::value::peers::Serve as Wish;
use crate::dht::Serve;
use crate::parts::POWER;
use crate::platform::saver;
use crate::ports::Refusal;
use crate::task;
use crate::time::{Clock, Moment};
use crate::wire::code::Code;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often sensors are looked at where something follows from them; a battery
/// loses a percent in minutes.
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// And where there is neither a battery nor a bound of heat, or power is saved: once a
/// minute, and one round may come a little earlier than the one before.
const SELDOM: Duration = Duration::from_secs(58);
/// When devices shall ask again for a port that was refused, in milliseconds.
const RETRY_MS: u32 = 5 * 60_000;

/// How long a thread that has read sensors waits while power is saved, in seconds:
/// longer than from one round to the next.
const KEEP_THREADS: u64 = 150;

/// What holds, and when it was looked at.
#[derive(Debug, Default)]
pub struct Thrift(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    power: Power,
    heard: Heard,
    looked: Option<Moment>,
    has_battery: bool,
    metered: bool,
}

impl Thrift {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds at the moment.
    #[must_use]
    pub fn power(&self) -> Power {
        self.lock().power
    }

    /// Whether bytes cost money.
    #[must_use]
    pub fn is_metered(&self) -> bool {
        self.lock().metered
    }

    fn is_thrifty(&self) -> bool {
        let notes = self.lock();
        notes.power.saving || notes.metered
    }

    /// The next look is due at once.
    pub fn hurry(&self) {
        self.lock().looked = None;
    }
}

impl House {
    /// Whether this node answers in the DHT: as is set, and not while power or bytes
    /// are saved.
    pub fn serve_wish(&self) -> Serve {
        match self.settings().network.serve {
            _ if POWER.built && self.thrift.is_thrifty() => Serve::No,
            Wish::Auto => Serve::Auto,
            Wish::Yes => Serve::Yes,
            Wish::No => Serve::No,
        }
    }

    /// A look at the battery and the heat, when it is time; does what follows.
    pub fn mind_power(self: &Arc<House>) {
        if !POWER.built {
            return;
        }
        let now = self.clock.now();
        let mut notes = self.thrift.lock();
        let bound = self.settings().power.refuse_above;
        let matters = notes.has_battery || bound.is_some();
        let every = if matters && !notes.power.saving {
            LOOK_EVERY
        } else {
            SELDOM
        };
        if notes.looked.is_some_and(|at| now.since(at) < every) {
            return;
        }
        notes.looked = Some(now);
        drop(notes);
        let house = self.clone();
        let look = async move {
            let sensors = house.surroundings.sense(now).await;
            let said = Sensed {
                battery: sensors.battery,
                temperature: sensors.temperature,
            };
            house.follow(now, said);
            house.follow_costs(sensors.mobile);
        };
        task::spawn(&self.executor, look).detach();
    }

    fn follow(&self, now: Moment, said: Sensed) {
        let mut notes = self.thrift.lock();
        let sensed = notes.heard.hear(now, said);
        notes.has_battery = sensed.battery.is_some();
        let before = notes.power;
        let changed = notes.power.look(sensed, &self.settings().power);
        let power = notes.power;
        drop(notes);
        if before.refusal != power.refusal {
            self.board.close_openings(power.refusal.map(|why| Refusal {
                code: Code::LOW_POWER,
                text: why.text(),
                limit: Some(why.limit()),
                retry_after_ms: Some(RETRY_MS),
            }));
        }
        if changed {
            self.tell_power(before, power);
        }
    }

    /// Packets leave by mobile data, or do not.
    fn follow_costs(&self, mobile: Option<bool>) {
        let metered = match (self.settings().network.metered, mobile) {
            (Wish::Auto, Some(mobile)) => mobile,
            // Somebody else is still reading.
            (Wish::Auto, None) => return self.thrift.hurry(),
            (wish, _) => wish == Wish::Yes,
        };
        let mut notes = self.thrift.lock();
        let before = std::mem::replace(&mut notes.metered, metered);
        drop(notes);
        if before == metered {
            return;
        }
        saver::set_metered(metered);
        if metered {
            log::info!("the network is metered: others' questions are not answered, quiet links are asked less often");
        } else {
            log::info!("the network is no longer metered");
        }
        self.tell_serving();
    }

    fn tell_serving(&self) {
        if let Some(dht) = self.network.dht.get() {
            dht.set_serve(self.serve_wish());
        }
    }

    fn tell_power(&self, before: Power, power: Power) {
        if before.saving != power.saving {
            saver::set(power.saving);
            self.board.set_saving(power.saving);
            // Their timers are those of before.
            self.board.wake_all();
            task::blocking::keep_threads(if power.saving { KEEP_THREADS } else { 1 });
            if power.saving {
                log::warn!("saving power: others' questions are not answered, timers are wider");
            } else {
                log::info!("no longer saving power");
            }
            self.tell_serving();
        }
        match power.refusal {
            Some(why) => log::warn!("new ports are refused: {}", why.text()),
            None if before.refusal.is_some() => log::info!("new ports are opened again"),
            None => {}
        }
    }
}
