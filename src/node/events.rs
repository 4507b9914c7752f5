//! What the node tells those who listen: `/events` and `/ws` (see [`crate::rpc::events`]).
//!
//! Sessions and links tell as they go. Health is looked at on the house's tick, and
//! with each status: that is made once a second while somebody listens, and not at
//! all otherwise.

use super::house::House;
use crate::edge::server::Witness;
use crate::identity::Address;
use crate::liveness::Beat;
use crate::rpc::events::{Hub, Topic};
use crate::rpc::{Health, HealthState, NodeView};
use async_io::Timer;
use smol::future;
use std::sync::Arc;
use std::time::Duration;

/// How often a status is made while somebody listens.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Longest words of others that are passed on, in characters: the reason of an end.
const WORDS_MAX: usize = 200;

/// Tells of sessions.
pub struct Telling(pub Arc<Hub>);

impl Witness for Telling {
    fn opened(&self, device: Address) {
        let data = format!("{{\"state\":\"opened\",\"device\":\"{device}\"}}");
        self.0.publish(Topic::Session, data);
    }

    fn closed(&self, device: Address, reason: &str) {
        let reason = quoted(reason);
        let data = format!("{{\"state\":\"closed\",\"device\":\"{device}\",\"reason\":{reason}}}");
        self.0.publish(Topic::Session, data);
    }

    fn paid(&self, device: Address, total_bytes: u64, epoch: u64) {
        let data =
            format!("{{\"device\":\"{device}\",\"total_bytes\":{total_bytes},\"epoch\":{epoch}}}");
        self.0.publish(Topic::Ticket, data);
    }
}

/// Words of whoever, as JSON.
fn quoted(text: &str) -> String {
    let text: String = text.chars().take(WORDS_MAX).collect();
    serde_json::Value::String(text).to_string()
}

/// Tells that a link to another node stands.
pub fn linked(hub: &Hub, node: Address, dialled: bool) {
    let direction = if dialled { "out" } else { "in" };
    let data =
        format!("{{\"state\":\"linked\",\"node\":\"{node}\",\"direction\":\"{direction}\"}}");
    hub.publish(Topic::Peer, data);
}

/// Tells that a link to another node is over.
pub fn lost(hub: &Hub, node: Address, reason: &str) {
    let reason = quoted(reason);
    let data = format!("{{\"state\":\"lost\",\"node\":\"{node}\",\"reason\":{reason}}}");
    hub.publish(Topic::Peer, data);
}

/// Health as it was told last.
#[derive(Default)]
struct Told {
    status: Option<HealthState>,
    reasons: Vec<(String, String)>,
}

impl Told {
    /// Tells of health if it is another one. The first look tells only of trouble.
    fn look(&mut self, hub: &Hub, health: &Health) {
        let reasons = health.reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|r| (r.layer.clone(), r.remedy.clone()))
            .collect();
        let first = self.status.is_none() && health.status == HealthState::Ok;
        let same = self.status == Some(health.status) && self.reasons == reasons;
        self.status = Some(health.status);
        self.reasons = reasons;
        if same || first {
            return;
        }
        let mut data = format!("{{\"status\":\"{}\",\"reasons\":[", health.status.word());
        for (n, reason) in health.reasons.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let (layer, text) = (quoted(&reason.layer), quoted(&reason.reason));
            let one = format!("{comma}{{\"layer\":{layer},\"reason\":{text}}}");
            // An event has its bound; /health has them all.
            if data.len() + one.len() > crate::rpc::events::EVENT_BYTES - 8 {
                break;
            }
            data.push_str(&one);
        }
        data.push_str("]}");
        hub.publish(Topic::Health, data);
    }
}

/// Looks at health and makes the status, for ever.
pub async fn watch(house: Arc<House>, beat: Beat) {
    let hub = house.hub.clone();
    let mut told = Told::default();
    loop {
        let asked = async {
            beat.asked().await;
            false
        };
        let wanted = async {
            hub.until_wanted(Topic::Status).await;
            true
        };
        if !future::or(asked, wanted).await {
            told.look(&hub, &house.health());
            continue;
        }
        let status = house.status();
        told.look(&hub, &status.health);
        if let Ok(text) = serde_json::to_string(&status) {
            hub.publish(Topic::Status, text);
        }
        let pause = async {
            Timer::after(STATUS_EVERY).await;
        };
        let answering = async {
            loop {
                beat.asked().await;
            }
        };
        future::or(pause, answering).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::platform::clock::BootClock;
    use crate::rpc::HealthReason;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(Arc::new(BootClock::new())))
    }

    fn told(hub: &Hub) -> Vec<serde_json::Value> {
        let recent = hub.recent();
        let parsed = recent.iter().map(|e| serde_json::from_str(e.data()));
        parsed.map(Result::unwrap).collect()
    }

    #[test]
    fn words_of_others_cannot_leave_their_quotes() {
        let hub = hub();
        let device = Address([7; 20]);
        Telling(hub.clone()).closed(device, "\"},\n\u{1}{\"x\":\"");
        lost(&hub, device, &"\u{10ffff}".repeat(5_000));
        let told = told(&hub);
        assert_eq!(told.first().unwrap()["reason"], "\"},\n\u{1}{\"x\":\"");
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn health_is_told_when_it_changes_and_only_then() {
        let hub = hub();
        let mut state = Told::default();
        let mut health = Health::ok();
        state.look(&hub, &health);
        assert!(told(&hub).is_empty());
        let reason = |n: usize| HealthReason {
            layer: "storage".into(),
            state: HealthState::Degraded,
            reason: format!("{n} \"s\" {}", "long ".repeat(100)),
            remedy: format!("remedy {n}"),
        };
        for n in 0..40 {
            health.add(reason(n));
        }
        state.look(&hub, &health);
        state.look(&hub, &health);
        state.look(&hub, &Health::ok());
        let told = told(&hub);
        assert_eq!(told.len(), 2);
        assert_eq!(told.first().unwrap()["status"], "degraded");
        assert!(told.first().unwrap()["reasons"].as_array().unwrap().len() > 2);
        assert_eq!(told.last().unwrap()["status"], "ok");
    }
}
