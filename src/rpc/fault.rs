//! Why a method was not answered, and what methods that take time give back.

use super::reply::{INTERNAL_ERROR, INVALID_PARAMS, UNAVAILABLE};
use serde_json::Value;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

/// What a method that takes time gives back at once. It must end by itself: who
/// waits for it gives up after [`super::limits::ASYNC_LIMIT`].
pub type Asked = Pin<Box<dyn Future<Output = Result<Told, RpcFault>> + Send>>;

/// A result that took time.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The result.
    pub value: Value,
    /// How old it is, if it has outlived its time and was given because its source
    /// does not answer: a member of the answer, beside `result`.
    pub stale_seconds: Option<u64>,
}

impl From<Value> for Told {
    fn from(value: Value) -> Told {
        Told {
            value,
            stale_seconds: None,
        }
    }
}

/// An error object of JSON-RPC.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcFault {
    /// The code: the standard's own, or one of -32000 to -32099.
    pub code: i32,
    /// What, where and what to do.
    pub text: Cow<'static, str>,
    /// What programs may want to know besides.
    pub data: Option<Value>,
}

impl RpcFault {
    /// A parameter that is not as the method takes it (-32602).
    #[must_use]
    pub fn params(text: impl Into<Cow<'static, str>>) -> RpcFault {
        RpcFault::new(INVALID_PARAMS, text)
    }

    /// Not now, or not here (-32000); the text says why.
    #[must_use]
    pub fn unavailable(text: impl Into<Cow<'static, str>>) -> RpcFault {
        RpcFault::new(UNAVAILABLE, text)
    }

    /// A defect of the node (-32603).
    #[must_use]
    pub fn internal(text: impl Into<Cow<'static, str>>) -> RpcFault {
        RpcFault::new(INTERNAL_ERROR, text)
    }

    /// With any code.
    #[must_use]
    pub fn new(code: i32, text: impl Into<Cow<'static, str>>) -> RpcFault {
        RpcFault {
            code,
            text: text.into(),
            data: None,
        }
    }
}
