//! What was carried: charts.

use super::super::house::House;
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
            Some(store) => Ok((store, self.clock.now(), self.clock.unix())),
        };
        let (charts, statistics) = (self.charts.clone(), self.statistics.clone());
        Box::pin(async move {
            let (store, now, unix) = found?;
            let history = charts.of(span, &store, &statistics, now, unix).await?;
            Ok((*history).clone())
        })
    }
}
