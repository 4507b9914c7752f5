//! Questions to the chain: connections that are kept, a bound in time, back-off.

use super::connection::Connection;
use super::gate::Gate;
use super::head::{Block, Head, State};
use super::http::{post, Reply};
use super::methods::{self, Ready};
use super::place::Place;
use super::trust::Trust;
use super::{Answer, ChainError};
use crate::cache::{Ask, Cache, CacheError, Fault, Fetched, Kind};
use crate::identity::sha256;
use crate::sorted::object;
use crate::time::{Clock, Moment};
use async_io::Timer;
use serde_json::{json, Value};
use smol::future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a question may take, from dialling to the last byte: the HTTP port
/// gives its own askers ten seconds.
const CALL_TIME: Duration = Duration::from_secs(8);
/// How long an idle connection is kept: longer than between two looks at the
/// head, shorter than servers keep theirs.
const KEEP: Duration = Duration::from_secs(65);
/// Connections that are kept.
const KEEP_MAX: usize = 2;
/// The first pause after the chain failed, doubled up to [`REST_MOST`].
const REST: Duration = Duration::from_secs(1);
const REST_MOST: Duration = Duration::from_secs(60);
/// The longest time that the chain may send us away for.
const SENT_AWAY_MOST: Duration = Duration::from_secs(600);
/// Characters of the chain's own words that are passed on.
const WORDS_MAX: usize = 500;
/// Digits of an error's data that are passed on: what a contract says when it
/// refuses.
const REASON_MAX: usize = 8 * 1024;

/// What a client needs.
pub struct Options {
    /// Where the chain is.
    pub place: Place,
    /// Certificates of authorities, if not the system's.
    pub ca_file: Option<PathBuf>,
    /// Keeps answers.
    pub cache: Cache,
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// Name and version of this program.
    pub agent: String,
    /// Is told of each new block, once.
    pub tell: Box<dyn Fn(&Block) + Send + Sync>,
    /// Whether somebody listens to that.
    pub listened: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A chain that can be asked. Clones share it.
#[derive(Clone)]
pub struct Chain(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub options: Options,
    /// Tells its answers from those of other chains in the cache.
    mark: Vec<u8>,
    gate: Gate,
    head: Mutex<Head>,
    wires: Mutex<Wires>,
}

#[derive(Default)]
struct Wires {
    idle: Vec<(Connection, Moment)>,
    tls: Option<Trust>,
    rest: Option<Rest>,
    questions: u64,
}

struct Rest {
    until: Moment,
    pause: Duration,
    why: String,
}

impl Chain {
    /// A client. Nothing is dialled yet.
    #[must_use]
    pub fn new(options: Options) -> Chain {
        let place = format!("{}{}", options.place, options.place.path);
        let mark = sha256(&[place.as_bytes()]);
        Chain(Arc::new(Inner {
            mark: mark.iter().copied().take(8).collect(),
            gate: Gate::new(options.clock.now()),
            head: Mutex::default(),
            wires: Mutex::default(),
            options,
        }))
    }

    /// Where the chain is, without what is secret in it.
    #[must_use]
    pub fn place(&self) -> String {
        self.0.options.place.to_string()
    }

    /// How it stands with the chain. Somebody wants to know, so it is looked at
    /// more often from now on.
    #[must_use]
    pub fn state(&self) -> State {
        let clock = &self.0.options.clock;
        let unix = clock.trusted().then(|| clock.unix());
        self.0.head().state(clock.now(), unix)
    }

    /// Questions for others that were turned away by their bound.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.gate.refused()
    }

    /// Answers `method`. `None`: there is no such method here.
    pub async fn answer(
        &self,
        method: &str,
        params: &[Value],
    ) -> Option<Result<Answer, ChainError>> {
        if let "eth_blockNumber" | "eth_chainId" = method {
            if !params.is_empty() {
                let error = ChainError::Params(format!("{method} takes no parameters"));
                return Some(Err(error));
            }
            return Some(if method == "eth_chainId" {
                self.chain_id().await
            } else {
                self.newest().await.map(|(number, stale)| Answer {
                    value: json!(format!("0x{number:x}")),
                    stale,
                })
            });
        }
        let question = match methods::check(method, params)? {
            Ok(question) => question,
            Err(why) => return Some(Err(ChainError::Params(why))),
        };
        let (head, stale) = if question.needs_head() {
            match self.newest().await {
                Ok(newest) => newest,
                Err(error) => return Some(Err(error)),
            }
        } else {
            let last = self.0.head().last(self.0.options.clock.now());
            (last.map_or(0, |(number, _)| number), None)
        };
        let ready = question.at(head, &self.0.mark);
        Some(self.look_up(ready).await.map(|mut answer| {
            answer.stale = answer.stale.max(stale);
            answer
        }))
    }

    async fn look_up(&self, ready: Ready) -> Result<Answer, ChainError> {
        let ask = ready.ask.clone();
        let inner = self.0.clone();
        let fetch = Box::new(move || {
            let source = async move {
                let now = inner.options.clock.now();
                let pass = inner.gate.enter(now).map_err(Fault::Busy)?;
                let answer = inner.call(ready.name, &ready.params).await;
                drop(pass);
                let value = answer?;
                Ok(Fetched {
                    keep: ready.keeps(&value),
                    value: value.to_string().into_bytes(),
                })
            };
            Box::pin(source) as crate::cache::Source
        });
        let found = self.0.options.cache.get(ask, fetch).await;
        let found = found.map_err(error)?;
        let value = serde_json::from_slice(&found.value);
        Ok(Answer {
            value: value.unwrap_or_default(),
            stale: found.stale.then_some(found.age),
        })
    }

    async fn chain_id(&self) -> Result<Answer, ChainError> {
        let known = self.0.head().chain_id();
        let answer = |id: u64, stale| Answer {
            value: json!(format!("0x{id:x}")),
            stale,
        };
        if let Some(id) = known {
            return Ok(answer(id, None));
        }
        let name = [&self.0.mark[..], b"chain id"].concat();
        let inner = self.0.clone();
        let fetch = Box::new(move || {
            let source = async move {
                let id = inner.ask_chain_id().await?;
                Ok(Fetched::from(id.to_string().into_bytes()))
            };
            Box::pin(source) as crate::cache::Source
        });
        let ask = Ask::new(Kind::Contract, &name);
        let found = self.0.options.cache.get(ask, fetch).await.map_err(error)?;
        let id = std::str::from_utf8(&found.value).ok();
        let id = id.and_then(|id| id.parse().ok()).unwrap_or(0);
        Ok(answer(id, found.stale.then_some(found.age)))
    }

    /// The newest block's number; with its age, if the chain does not answer.
    pub(super) async fn newest(&self) -> Result<(u64, Option<Duration>), ChainError> {
        let now = self.0.options.clock.now();
        let fresh = {
            let mut head = self.0.head();
            head.want(now);
            head.fresh(now)
        };
        if let Some(number) = fresh {
            return Ok((number, None));
        }
        let name = [&self.0.mark[..], b"head"].concat();
        let inner = self.0.clone();
        let fetch = Box::new(move || {
            let source = async move {
                let number = inner.look().await?;
                Ok(Fetched {
                    value: number.to_string().into_bytes(),
                    keep: false,
                })
            };
            Box::pin(source) as crate::cache::Source
        });
        // Never from the cache: it only sees to it that one asks for all.
        let ask = Ask::new(Kind::Block, &name).anew();
        let found = self.0.options.cache.get(ask, fetch).await;
        let error = match found {
            Ok(_) => {
                let last = self.0.head().last(now);
                match last {
                    Some((number, _)) => return Ok((number, None)),
                    None => CacheError::Broken,
                }
            }
            Err(error) => error,
        };
        match self.0.head().last(now) {
            Some((number, age)) => Ok((number, Some(age))),
            None => Err(super::client::error(error)),
        }
    }
}

impl Inner {
    pub(super) fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the newest block.
    pub(super) async fn look(&self) -> Result<u64, Fault> {
        let said = self.call("eth_blockNumber", &json!([])).await;
        let number = said.and_then(|value| number(&value));
        let now = self.options.clock.now();
        let mut head = self.head();
        match &number {
            Ok(number) => head.answered(*number, now),
            Err(fault) => head.failed(words(fault), now, fastrand::u64(..)),
        }
        number
    }

    /// Which chain it is.
    pub(super) async fn ask_chain_id(&self) -> Result<u64, Fault> {
        let said = self.call("eth_chainId", &json!([])).await?;
        let id = number(&said)?;
        self.head().set_chain_id(id);
        Ok(id)
    }

    /// Asks the chain, unless it rests.
    pub(super) async fn call(&self, method: &str, params: &Value) -> Result<Value, Fault> {
        let now = self.options.clock.now();
        if let Some(rest) = &self.wires().rest {
            if now < rest.until {
                return Err(Fault::Down(rest.why.clone()));
            }
        }
        let late = async {
            Timer::after(CALL_TIME).await;
            Err((format!("no answer within {} s", CALL_TIME.as_secs()), None))
        };
        let outcome = future::or(self.exchange(method, params), late).await;
        match outcome {
            Ok(result) => {
                self.wires().rest = None;
                result.map_err(Fault::Refused)
            }
            Err((why, wait)) => {
                let why = format!("{}: {why}", self.options.place);
                self.rest(why.clone(), wait);
                Err(Fault::Down(why))
            }
        }
    }

    /// Leaves the chain alone for a while.
    fn rest(&self, why: String, wait: Option<Duration>) {
        let now = self.options.clock.now();
        let mut wires = self.wires();
        let before = wires.rest.as_ref().map(|rest| rest.pause);
        let pause = before.map_or(REST, |pause| pause.saturating_mul(2).min(REST_MOST));
        let half = u64::try_from(pause.as_millis() / 2).unwrap_or(1).max(1);
        let jittered = pause.saturating_sub(Duration::from_millis(fastrand::u64(..half)));
        let wait = wait.map_or(jittered, |wait| wait.clamp(jittered, SENT_AWAY_MOST));
        wires.idle.clear();
        wires.rest = Some(Rest {
            until: now + wait,
            pause,
            why,
        });
    }

    /// One question and its answer: the result, or the chain's error object as
    /// text. Else why not, and for how long it wants to be left alone.
    async fn exchange(
        &self,
        method: &str,
        params: &Value,
    ) -> Result<Result<Value, Vec<u8>>, (String, Option<Duration>)> {
        let plain = |why: String| (why, None);
        let id = {
            let mut wires = self.wires();
            wires.questions = wires.questions.saturating_add(1);
            wires.questions
        };
        let body = object(&mut [
            ("jsonrpc", "2.0".into()),
            ("id", id.into()),
            ("method", method.into()),
            ("params", params.clone()),
        ]);
        let place = &self.options.place;
        let (authority, agent) = (place.authority(), &self.options.agent);
        let request = post(&authority, &place.path, agent, body.to_string().as_bytes());
        let reply = self.send(&request).await.map_err(plain)?;
        match reply.status {
            429 | 500..=599 => {
                let wait = reply.retry_after.map(Duration::from_secs);
                return Err((format!("it answers HTTP {}", reply.status), wait));
            }
            401 | 403 | 404 | 405 => {
                let why = format!("it answers HTTP {}; check chain.url", reply.status);
                return Err(plain(why));
            }
            _ => {}
        }
        read(&reply, id).map_err(plain)
    }

    async fn send(&self, request: &[u8]) -> Result<Reply, String> {
        let kept = self.take_idle();
        if let Some(mut connection) = kept {
            match connection.exchange(request).await {
                Ok(reply) => return Ok(self.keep(connection, reply)),
                Err(broken) if !broken.unanswered => return Err(broken.why),
                // It was closed while nobody used it. Reading twice harms nobody.
                Err(_) => {}
            }
        }
        let tls = self.tls().await?;
        let mut connection = Connection::open(&self.options.place, tls).await?;
        match connection.exchange(request).await {
            Ok(reply) => Ok(self.keep(connection, reply)),
            Err(broken) => Err(broken.why),
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let now = self.options.clock.now();
        let mut wires = self.wires();
        wires.idle.retain(|(_, since)| now.since(*since) < KEEP);
        wires.idle.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: Connection, reply: Reply) -> Reply {
        let now = self.options.clock.now();
        let mut wires = self.wires();
        if reply.keep && wires.idle.len() < KEEP_MAX {
            wires.idle.push((connection, now));
        }
        reply
    }

    /// Closes connections that nobody uses any more.
    pub(super) fn tidy(&self) {
        let now = self.options.clock.now();
        let mut wires = self.wires();
        wires.idle.retain(|(_, since)| now.since(*since) < KEEP);
    }

    async fn tls(&self) -> Result<Option<Trust>, String> {
        if !self.options.place.https {
            return Ok(None);
        }
        let known = self.wires().tls.clone();
        if let Some(known) = known {
            return Ok(Some(known));
        }
        let (file, clock) = (self.options.ca_file.clone(), self.options.clock.clone());
        let tls = Trust::read(file, clock).await?;
        self.wires().tls = Some(tls.clone());
        Ok(Some(tls))
    }
}

/// The result, or the error object in the form that is passed on.
fn read(reply: &Reply, id: u64) -> Result<Result<Value, Vec<u8>>, String> {
    let no_answer = || format!("it answers HTTP {}, not JSON-RPC", reply.status);
    let mut said: Value = serde_json::from_slice(&reply.body).map_err(|_| no_answer())?;
    if let Some(error) = said.get("error").filter(|error| !error.is_null()) {
        return Ok(Err(refusal(error).to_string().into_bytes()));
    }
    if said.get("id").and_then(Value::as_u64) != Some(id) {
        return Err("it answers another question".to_owned());
    }
    let result = said.get_mut("result").map(Value::take);
    result.map(Ok).ok_or_else(no_answer)
}

/// An error object of the chain, with what is in it bounded.
fn refusal(error: &Value) -> Value {
    let code = error.get("code").and_then(Value::as_i64);
    let message = error.get("message").and_then(Value::as_str);
    let message: String = message
        .unwrap_or("an error without words")
        .chars()
        .take(WORDS_MAX)
        .collect();
    let mut object = json!({"code": code.unwrap_or(-32000), "message": message});
    let data = error.get("data").and_then(Value::as_str);
    if let (Some(data), Some(object)) = (
        data.filter(|data| data.len() <= REASON_MAX),
        object.as_object_mut(),
    ) {
        object.insert("data".to_owned(), json!(data));
    }
    object
}

/// A quantity.
pub(super) fn number(value: &Value) -> Result<u64, Fault> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or_else(|| Fault::Down("it says something that is no number".to_owned()))
}

/// A failure in words.
pub(super) fn words(fault: &Fault) -> String {
    match fault {
        Fault::Down(why) => why.clone(),
        Fault::Refused(said) => {
            let said = serde_json::from_slice::<Value>(said).unwrap_or_default();
            let said = said.get("message").and_then(Value::as_str).unwrap_or("");
            format!("it refuses: {said}")
        }
        Fault::Busy(_) => "too much is asked at once".to_owned(),
    }
}

fn error(error: CacheError) -> ChainError {
    match error {
        CacheError::Down(why, wait) => ChainError::Down(why, wait),
        CacheError::Refused(said) => {
            ChainError::Refused(serde_json::from_slice(&said).unwrap_or_default())
        }
        CacheError::Busy(wait) => ChainError::Busy(wait),
        other => ChainError::Down(other.to_string(), REST),
    }
}
