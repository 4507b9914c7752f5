//! What a complete request asks, and how the node answers it.

use super::head::Question;
use super::jsonrpc;
use super::reply::Answer;
use super::view::{HealthReason, HealthState, NodeView};

/// A complete request, as the worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// What is asked.
    pub question: Question,
    /// The body of a POST; empty otherwise.
    pub body: Vec<u8>,
}

impl Ask {
    /// Answers from the node's state. `fault` says what is wrong with the HTTP
    /// service itself, which the node cannot know.
    pub fn answer(&self, view: &dyn NodeView, fault: Option<&str>) -> Answer {
        match self.question {
            Question::Rpc => jsonrpc::answer(&self.body, view),
            Question::Ready => {
                let ready = view.ready();
                Answer {
                    status: if ready { 200 } else { 503 },
                    body: format!("{{\"ready\":{ready}}}").into_bytes(),
                }
            }
            Question::Health => {
                let mut health = view.health();
                if let Some(reason) = fault {
                    health.add(HealthReason {
                        layer: "rpc".to_owned(),
                        state: HealthState::Degraded,
                        reason: reason.to_owned(),
                        remedy: "relaying goes on; see the log, then restart the node".to_owned(),
                    });
                }
                let failing = health.status == HealthState::Failing;
                Answer {
                    status: if failing { 503 } else { 200 },
                    body: serde_json::to_vec(&health).unwrap_or_default(),
                }
            }
        }
    }
}
