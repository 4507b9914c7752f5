//! What `auto` makes of the device beyond its choice of a profile: the values that
//! depend on how much of something there is. A rule lowers what the profile says, or
//! leaves it; two raise it, where the profile is made for the smallest of its class.
//!
//! The rules stand in words in `configs/auto.toml`.

use super::sources::find;
use super::{ConfigError, Loaded, Profile, Settings, Source};
use crate::platform::device::Device;
use crate::platform::medium::Medium;
use std::time::Duration;

const MB: u64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);
/// The longest that statistics wait in memory.
const DAY: Duration = Duration::from_secs(86_400);

/// Links to other nodes by the memory in reach, in bytes; `None`: the profile's
/// number is right. A link that is busy costs megabytes, an idle one 11 KiB. The
/// steps are a little below the sizes that are sold: a kernel takes some of them.
#[must_use]
fn peer_links(memory: u64) -> Option<u64> {
    const STEPS: [(u64, u64); 5] = [(56, 1), (88, 5), (112, 8), (224, 15), (480, 25)];
    let megabytes = memory >> 20;
    let step = STEPS.iter().find(|(below, _)| megabytes < *below);
    step.map(|(_, links)| *links)
}

/// The size that is sold of which a kernel left so much: a power of two.
fn sold(memory: u64) -> u64 {
    let more = memory.saturating_add(memory / 3);
    more.checked_ilog2().map_or(0, |bits| 1 << bits)
}

/// Puts what follows from the device over what the profile says. `asked`: what the
/// layers above say, as far as other values follow from it.
///
/// # Errors
/// None, unless a rule gives what its setting does not take.
pub(super) fn fit(
    loaded: &mut Loaded,
    profile: Profile,
    device: &Device,
    asked: &Settings,
) -> Result<(), ConfigError> {
    let mut fitting = Fitting(loaded);
    fitting.memory(profile, device, asked.node.memory_limit)?;
    fitting.processor(device)?;
    fitting.storage(profile, device, asked)
}

struct Fitting<'a>(&'a mut Loaded);

impl Fitting<'_> {
    fn set(&mut self, key: &str, value: u64, why: &str) -> Result<(), ConfigError> {
        let source = Source::Device(why.to_owned());
        self.0
            .assign(find(key, &source)?, value.to_string(), source)
    }

    fn lower(&mut self, key: &str, now: u64, most: u64, why: &str) -> Result<(), ConfigError> {
        match most < now {
            true => self.set(key, most, why),
            false => Ok(()),
        }
    }

    fn memory(
        &mut self,
        profile: Profile,
        device: &Device,
        limit: Option<u64>,
    ) -> Result<(), ConfigError> {
        let reach = device.memory_in_reach();
        // Unasked a node takes half of what is in reach, so one that is asked to make
        // do with 32 MB is a node on a device of 64.
        let asked = limit.map(|limit| limit.saturating_mul(2));
        let Some(memory) = reach.into_iter().chain(asked).min() else {
            return Ok(());
        };
        let why = match limit {
            Some(limit) if asked == Some(memory) => {
                format!("node.memory_limit of {} MB", limit / MB)
            }
            _ => format!("{} MB of memory", memory / MB),
        };
        let network = &self.0.settings.network;
        let links = peer_links(memory).unwrap_or(u64::MAX);
        self.lower("network.max_peers", network.max_peers as u64, links, &why)?;
        // What is on its way stands in buffers on both sides of the relay.
        let size = sold(memory).max(16 * MB);
        let now = self.0.settings.performance.clone();
        for (key, now, share) in [
            ("performance.max_window", u64::from(now.max_window), 128),
            ("performance.session_buffer", now.session_buffer as u64, 64),
            // The kernel's: outside the node's budget, but not outside the container.
            ("performance.send_buffer", u64::from(now.send_buffer), 1024),
        ] {
            self.lower(key, now, size / share, &why)?;
        }
        // Boards have half a gigabyte to eight.
        let most = match profile {
            Profile::RaspberryPi if memory >= 3600 * MB => 4000,
            Profile::RaspberryPi if memory >= 1800 * MB => 2000,
            _ => return Ok(()),
        };
        match now.max_connections < most {
            true => self.set("performance.max_connections", most as u64, &why),
            false => Ok(()),
        }
    }

    fn processor(&mut self, device: &Device) -> Result<(), ConfigError> {
        let now = self.0.settings.clone();
        if device.cores > 0 {
            let why = match device.cores {
                1 => "1 core".to_owned(),
                cores => format!("{cores} cores"),
            };
            let threads = 2 * device.cores as u64;
            let pool = now.runtime.worker_pool_size as u64;
            self.lower("runtime.worker_pool_size", pool, threads, &why)?;
        }
        // A handshake takes 10 ms of such a core, and a relay a quarter of it for 100 Mbit/s.
        let slow = (25, 6, "a 32-bit program");
        // Those are the small cores; 1.5 ms.
        let plain = (100, 25, "no AES instructions");
        let (all, each, why) = match device.aes {
            _ if device.narrow => slow,
            Some(false) => plain,
            _ => return Ok(()),
        };
        let security = &now.security;
        let (rate, of_one) = (security.accept_rate, security.accept_rate_per_address);
        self.lower("security.accept_rate", rate.into(), all, why)?;
        let key = "security.accept_rate_per_address";
        self.lower(key, of_one.into(), each, why)?;
        if device.narrow {
            let window = u64::from(now.performance.max_window);
            self.lower("performance.max_window", window, MB, why)?;
        }
        Ok(())
    }

    /// How often statistics are written: a commit writes some pages, however little
    /// is in it.
    fn storage(
        &mut self,
        profile: Profile,
        device: &Device,
        asked: &Settings,
    ) -> Result<(), ConfigError> {
        let now = self.0.settings.storage.flush_interval;
        let medium = device.medium(&asked.storage.store());
        let calm = matches!(profile, Profile::RaspberryPi | Profile::Server);
        let wanted = match medium {
            Some(Medium::Flash) => now.max(6 * HOUR),
            Some(Medium::Card) => now.max(HOUR),
            Some(Medium::Solid | Medium::Disk) if calm => now.min(HOUR / 2),
            _ => now,
        };
        // As the store's pages are, LMDB's of 32 KB at most: it writes as many.
        let pages = u32::try_from(device.page / 4096).unwrap_or(1).clamp(1, 8);
        let wanted = (wanted * pages).min(DAY.max(now));
        if wanted == now {
            return Ok(());
        }
        let mut reasons = Vec::new();
        reasons.extend(medium.map(|medium| medium.words().to_owned()));
        if pages > 1 {
            reasons.push(format!("pages of {} KB", device.page / 1024));
        }
        let why = reasons.join(", ");
        self.set("storage.flush_interval", wanted.as_secs(), &why)
    }
}

#[cfg(test)]
mod tests;
