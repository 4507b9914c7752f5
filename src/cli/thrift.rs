//! Whether `publish` and `forward` save power: they ask their node every 280 s then,
//! instead of every 100.

use super::Failure;
use crate::config::value::peers::choice;
use crate::config::value::power::SAVER as WORDS;
use crate::config::{Power as Settings, SaverWish};
use crate::node::power::{Heard, Power, Sensed};
use crate::parts::POWER;
use crate::platform::boot_timer::BootTimer;
use crate::platform::clock::BootClock;
use crate::platform::readings::Sensors;
use crate::platform::{saver, termux};
use crate::task;
use crate::time::Clock;
use std::future::{pending, Future};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where a device is told what `power.saver` tells a node: it has no settings.
const VARIABLE: &str = "CHR_POWER__SAVER";
/// How often the battery is looked at: it loses a percent in some minutes.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// What the environment says.
///
/// # Errors
/// It is no word that there is.
pub fn wish() -> Result<SaverWish, Failure> {
    let text = std::env::var_os(VARIABLE).unwrap_or_default();
    let text = text.to_string_lossy();
    if text.trim().is_empty() || !POWER.built {
        return Ok(SaverWish::Auto);
    }
    choice(&text, WORDS)
        .map_err(|why| Failure::Usage(format!("{VARIABLE}: {why}; auto, on or off")))
}

/// Looks at the battery now and then; does not come back.
pub fn mind<T: Send + 'static>(wish: SaverWish) -> Pin<Box<dyn Future<Output = T> + Send>> {
    // Outside of `watch`, so that a build without the part has nothing of it.
    if !POWER.built || wish != SaverWish::Auto {
        saver::set(POWER.built && wish == SaverWish::On);
        return Box::pin(pending());
    }
    Box::pin(watch())
}

async fn watch<T: Send>() -> T {
    saver::set(false);
    let settings = Settings::default();
    let (timer, mut power) = (BootTimer::new(), Power::default());
    let (clock, mut heard, mut has_one) = (BootClock::new(), Heard::default(), false);
    loop {
        let battery = battery().await;
        has_one |= battery.is_some() || termux::tool().is_some();
        if !has_one {
            // What has none gets none.
            return pending().await;
        }
        let said = Sensed {
            battery,
            temperature: None,
        };
        power.look(heard.hear(clock.now(), said), &settings);
        if saver::set(power.saving) {
            log::info!(
                "power is {} saved",
                if power.saving { "being" } else { "no longer" }
            );
        }
        timer.wait(LOOK_EVERY).await;
    }
}

/// The sensors may take a while.
async fn battery() -> Option<(u8, bool)> {
    let said = Arc::new(Mutex::new(None));
    let there = said.clone();
    task::unblock_boxed(Box::new(move || {
        let read = Sensors::read_below(Path::new("/")).battery;
        let read = read.or_else(|| termux::battery(BootClock::new().now()));
        *there.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }))
    .await;
    let battery = *said.lock().unwrap_or_else(PoisonError::into_inner);
    battery
}
