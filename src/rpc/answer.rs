//! What a complete request asks, and how the node answers it.

use super::asker::Asker;
use super::config;
use super::head::Question;
use super::jsonrpc::{self, Outcome};
use super::metrics;
use super::page;
use super::redact;
use super::reply::{Answer, Refusal};
use super::view::{HealthReason, HealthState, NodeView};
use crate::parts::{METRICS, STATUS_PAGE};

/// A complete request, as the worker gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// What is asked.
    pub question: Question,
    /// Who asks.
    pub asker: Asker,
    /// Under which number an answer to come is left with the dispatch.
    pub number: u64,
    /// The body of a POST; empty otherwise.
    pub body: Vec<u8>,
}

impl Ask {
    /// Answers from the node's state. `fault` says what is wrong with the HTTP
    /// service itself, which the node cannot know.
    pub fn answer(&self, view: &dyn NodeView, fault: Option<&str>) -> Outcome {
        let answer = match self.question {
            Question::Rpc => return jsonrpc::answer(&self.body, view, self.asker),
            Question::Ready => {
                let ready = view.ready();
                let body = format!("{{\"ready\":{ready}}}").into_bytes();
                return Outcome::Now(Answer::json(if ready { 200 } else { 503 }, body));
            }
            Question::Health => health(view, fault),
            Question::Config => config::show(view, self.asker),
            Question::ChangeConfig => config::change(view, self.asker, &self.body),
            Question::Metrics if METRICS.built => return Outcome::Now(metrics::render(view)),
            // It shortens what it shows by itself: its style and script are to stay as they are.
            Question::Page if STATUS_PAGE.built => {
                return Outcome::Now(page::render(view, &self.asker))
            }
            // The door itself answers, or nobody does.
            Question::Events | Question::WebSocket | Question::Metrics | Question::Page => {
                Refusal::new(404, "this is not served here").parts().0
            }
        };
        let names = (!self.asker.sees_all()).then(|| view.names());
        Outcome::Now(Answer {
            body: redact::shorten(answer.body, names.as_deref()),
            ..answer
        })
    }
}

fn health(view: &dyn NodeView, fault: Option<&str>) -> Answer {
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
    Answer::json(
        if failing { 503 } else { 200 },
        serde_json::to_vec(&health).unwrap_or_default(),
    )
}
