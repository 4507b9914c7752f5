//! `GET /config` and `POST /config`.

use super::asker::Asker;
use super::reply::{error_body, Answer, INVALID_PARAMS};
use super::view::NodeView;
use serde_json::Value;

/// Who asks for a change, in error texts and as the source of a value.
const SOURCE: &str = "POST /config";

/// Every setting that is in force.
pub(super) fn show(view: &dyn NodeView) -> Answer {
    Answer::json(
        200,
        serde_json::to_vec(&view.settings()).unwrap_or_default(),
    )
}

/// Changes settings: all that the body names, or none.
pub(super) fn change(view: &dyn NodeView, asker: Asker, body: &[u8]) -> Answer {
    if let Err(refusal) = asker.may_write() {
        return refusal.parts().0;
    }
    let changed = pairs(body).and_then(|pairs| view.change(&pairs, SOURCE));
    match changed {
        Ok(changed) => Answer::json(200, serde_json::to_vec(&changed).unwrap_or_default()),
        Err(why) => Answer::json(400, error_body(INVALID_PARAMS, &why)),
    }
}

/// Keys and texts of an object of JSON.
fn pairs(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let value = serde_json::from_slice(body).map_err(|e| format!("the body is not JSON: {e}"))?;
    let Value::Object(map) = value else {
        return Err(
            "the body must be an object of settings, such as {\"log.level\": \"debug\"}".to_owned(),
        );
    };
    map.into_iter()
        .map(|(key, value)| Ok((key, text_of(value)?)))
        .collect()
}

/// A value as a settings file would have it.
fn text_of(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err("not yet".to_owned()),
    }
}
