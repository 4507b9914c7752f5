//! The parameters of a call, once they were checked against the method's row.

use serde_json::Value;

/// Parameters in the order of the method's row; what was left out or `null` is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(pub(super) Vec<Option<Value>>);

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
