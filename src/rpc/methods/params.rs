//! The parameters of a call, checked against the row of its method.

use super::types::{self, Field};
use super::Method;
use crate::rpc::fault::RpcFault;
use crate::rpc::limits::MAX_PARAMS;
use serde_json::{json, Value};

/// Parameters in the order of the method's row; what was left out or `null` is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(Vec<Option<Value>>);

impl Params {
    /// The parameter at that place.
    #[must_use]
    pub fn value(&self, place: usize) -> Option<&Value> {
        self.0.get(place)?.as_ref()
    }

    /// The same where it is a text.
    #[must_use]
    pub fn text(&self, place: usize) -> Option<&str> {
        self.value(place)?.as_str()
    }

    /// All of them as a list, for passing on: what was left out at the end is left out,
    /// in between it is `null`.
    #[must_use]
    pub fn to_list(&self) -> Value {
        let given = self.0.iter().rposition(Option::is_some);
        let given = given.map_or(0, |last| last + 1);
        let values = self.0.iter().take(given);
        Value::Array(values.map(|v| v.clone().unwrap_or(Value::Null)).collect())
    }
}

/// Reads the text of a list or an object. `used` counts the bytes of which values are made, for
/// all calls of a POST: a value takes many times its text. Its depth is bounded by serde_json.
pub(in crate::rpc) fn read(
    method: &Method,
    text: Option<&str>,
    used: &mut usize,
) -> Result<Params, RpcFault> {
    let name = method.name;
    let text = text.unwrap_or("[]");
    if method.params.is_empty() {
        let inner = text.get(1..text.len().saturating_sub(1));
        return if inner.is_some_and(|inner| inner.trim_ascii().is_empty()) {
            Ok(Params::default())
        } else {
            Err(RpcFault::params(format!("{name} takes no parameters")))
        };
    }
    *used += text.len();
    if *used > MAX_PARAMS {
        return Err(RpcFault::params(format!(
            "the parameters of all calls are longer than {MAX_PARAMS} bytes; split the batch"
        )));
    }
    let fields = types::fields(method.params).unwrap_or_default();
    let names = || {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        names.join(", ")
    };
    let value = serde_json::from_str(text).map_err(|error| {
        RpcFault::params(format!("the parameters of {name} cannot be read: {error}"))
    })?;
    let mut given: Vec<Option<Value>> = match value {
        Value::Array(list) if list.len() > fields.len() => {
            let text = format!(
                "{name} takes at most {} parameters: {}",
                fields.len(),
                names()
            );
            return Err(RpcFault::params(text));
        }
        Value::Array(list) => list.into_iter().map(Some).collect(),
        Value::Object(mut map) => {
            let take = |field: &Field<'_>| map.remove(field.name);
            let given = fields.iter().map(take).collect();
            if let Some(other) = map.keys().next() {
                let other: String = other.chars().take(40).collect();
                let text = format!("{name} has no parameter \"{other}\"; it has {}", names());
                return Err(RpcFault::params(text));
            }
            given
        }
        _ => Vec::new(),
    };
    given.resize(fields.len(), None);
    for (field, value) in fields.iter().zip(&mut given) {
        let fits = match value {
            None | Some(Value::Null) => {
                *value = None;
                field.optional
            }
            Some(value) => field.kind.takes(value),
        };
        if !fits {
            let problem = if value.is_some() {
                "is not"
            } else {
                "is missing; it must be"
            };
            let allowed = field.kind.words();
            let text = format!("the parameter {} of {name} {problem} {allowed}", field.name);
            return Err(RpcFault {
                data: Some(json!({ "parameter": field.name, "allowed": allowed })),
                ..RpcFault::params(text)
            });
        }
    }
    Ok(Params(given))
}
