//! What was carried: charts.

use super::super::house::House;
use super::super::statistics::read_history;
use crate::cache::{Ask, Fault, Fetch, Fetched, Kind};
use crate::rpc::{Asked, History, HistoryReply, HistorySpan, Params, RpcFault, Told};
use crate::time::Clock;
use std::sync::PoisonError;

impl House {
    /// What memory has: ten minutes, or an hour.
    pub(super) fn latest(&self, span: HistorySpan) -> History {
        let statistics = self.statistics.lock();
        let statistics = statistics.unwrap_or_else(PoisonError::into_inner);
        statistics.latest(span)
    }

    /// Answers `stats_history`.
    pub(super) fn ask_history(&self, params: &Params) -> Asked {
        let span = params.text(0).and_then(HistorySpan::named);
        // The dispatcher lets no other word through.
        let span = span.unwrap_or(HistorySpan::Hour);
        let history = self.chart(span);
        Box::pin(async move {
            let history = history.await.map_err(RpcFault::unavailable)?;
            let told = serde_json::to_value(history);
            let told = told.map_err(|error| RpcFault::internal(error.to_string()));
            told.map(Told::from)
        })
    }

    /// What `stats_history` returns.
    pub(super) fn chart(&self, span: HistorySpan) -> HistoryReply {
        if matches!(span, HistorySpan::TenMinutes | HistorySpan::Hour) {
            return Box::pin(std::future::ready(Ok(self.latest(span))));
        }
        let found = match self.store.get() {
            None => Err("there is no store: this node keeps nothing beyond an hour".to_owned()),
            Some(_) if !self.clock.trusted() => {
                Err("the clock is not set: only the latest hour can be shown".to_owned())
            }
            Some(store) => Ok((store, self.clock.unix())),
        };
        let (cache, statistics) = (self.cache.clone(), self.statistics.clone());
        let ask = Ask::new(Kind::Statistics, &[span as u8]);
        Box::pin(async move {
            let (store, unix) = found?;
            let fetch: Fetch = Box::new(move || {
                Box::pin(async move {
                    let history = read_history(span, &store, &statistics, unix).await;
                    let bytes = postcard::to_allocvec(&history.map_err(Fault::Down)?);
                    let bytes = bytes.map_err(|error| Fault::Down(error.to_string()))?;
                    Ok(Fetched::from(bytes))
                })
            });
            let found = cache.get(ask, fetch).await;
            let found = found.map_err(|error| error.to_string())?;
            postcard::from_bytes(&found.value).map_err(|error| error.to_string())
        })
    }
}
