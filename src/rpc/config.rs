//! `GET /config` and `POST /config`, and the methods that do the same.

use super::asker::Asker;
use super::fault::RpcFault;
use super::reply::{error_body, Answer, Refusal, INVALID_PARAMS};
use super::settings::Changed;
use super::view::NodeView;
use serde_json::{Map, Value};

/// Who asks for a change, in error texts and as the source of a value.
const SOURCE: &str = "POST /config";

/// Most settings in one change: more than there are.
const MOST: usize = 200;

/// Every setting that is in force.
pub(super) fn show(view: &dyn NodeView, asker: Asker) -> Answer {
    match asker.may_look() {
        Ok(()) => {
            let settings = serde_json::to_vec(&view.settings());
            Answer::json(200, settings.unwrap_or_default())
        }
        Err(refusal) => refusal.parts().0,
    }
}

/// Changes settings: all that the body names, or none.
pub(super) fn change(view: &dyn NodeView, asker: Asker, body: &[u8]) -> Answer {
    if let Err(refusal) = asker.may_write() {
        return refusal.parts().0;
    }
    let changed = match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => apply(view, map, SOURCE),
        Ok(_) => Err(
            "the body must be an object of settings, such as {\"log.level\": \"debug\"}".to_owned(),
        ),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    };
    match changed {
        Ok(changed) => Answer::json(200, serde_json::to_vec(&changed).unwrap_or_default()),
        Err(why) => Answer::json(400, error_body(INVALID_PARAMS, &why)),
    }
}

/// The same for a method, whose parameter is the object.
pub(super) fn set(view: &dyn NodeView, settings: Option<&Value>) -> Result<Changed, RpcFault> {
    let map = settings.and_then(Value::as_object).cloned();
    apply(view, map.unwrap_or_default(), "config_set").map_err(RpcFault::params)
}

fn apply(
    view: &dyn NodeView,
    map: Map<String, Value>,
    source: &'static str,
) -> Result<Changed, String> {
    if map.len() > MOST {
        return Err(format!("there are not {} settings", map.len()));
    }
    let mut pairs = Vec::with_capacity(map.len());
    for (key, value) in map {
        let text = text_of(&value).ok_or_else(|| {
            format!(
                "{key}: a setting is a text, a number, true, false, or a list of texts and numbers"
            )
        })?;
        pairs.push((key, text));
    }
    view.change(&pairs, source)
}

/// A value as a settings file would have it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let one = |item: &Value| match item {
                Value::Array(_) => None,
                item => text_of(item),
            };
            let items: Option<Vec<String>> = items.iter().map(one).collect();
            items.map(|items| items.join(", "))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// What a refusal of the door would say, as a fault of a call.
pub(super) fn forbidden(refusal: Refusal) -> RpcFault {
    RpcFault::new(super::reply::FORBIDDEN, refusal.text)
}
