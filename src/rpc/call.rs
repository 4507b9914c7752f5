//! A JSON-RPC call as it arrives: decoded in one pass that keeps only what is
//! needed, so a body of a megabyte never becomes a tree of thirty.
//!
//! Any JSON is decoded without error; what is no call becomes [`Call::Invalid`].
//! Depth costs no stack: whatever lies below an id or a parameter list is skipped by
//! serde_json's loop, not by recursion. Parameters stay text until their method is known.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize as Derive, Serialize};
use serde_json::value::RawValue;
use std::fmt;

use super::limits::{MAX_BATCH, MAX_ID};

/// The body of a POST.
#[derive(Debug)]
pub(super) enum Posted<'a> {
    /// One call.
    Single(Call<'a>),
    /// A list of calls, never empty and never longer than [`MAX_BATCH`].
    Batch(Vec<Call<'a>>),
    /// A list that is refused as a whole.
    Refused(&'static str),
}

/// One call.
#[derive(Debug)]
pub(super) enum Call<'a> {
    /// As the standard has it. Without an id it is a notification.
    Valid {
        /// To be echoed.
        id: Option<Id>,
        /// Name of the method.
        method: String,
        /// The text of the parameters, a list or an object, where there are any.
        params: Option<&'a str>,
    },
    /// Not a call.
    Invalid {
        /// The id, where it could be read.
        id: Id,
        /// What is wrong.
        why: &'static str,
    },
}

/// What a client names a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Id {
    /// `null`, or unknown.
    Null,
    /// A number.
    Number(serde_json::Number),
    /// A text of at most [`MAX_ID`] bytes.
    Text(String),
}

impl Id {
    /// The id in a call that was read whole; `None`: it cannot be one.
    pub fn of(value: &serde_json::Value) -> Option<Id> {
        match value {
            serde_json::Value::Null => Some(Id::Null),
            serde_json::Value::Number(number) => Some(Id::Number(number.clone())),
            serde_json::Value::String(text) if text.len() <= MAX_ID => Some(Id::Text(text.clone())),
            _ => None,
        }
    }
}

/// Any JSON value, told apart as far as a call needs it.
#[derive(Debug)]
enum Shape {
    Null,
    Bool,
    Number(serde_json::Number),
    Text(String),
    LongText,
    /// A list or an object.
    Structure,
}

#[derive(Derive, Clone, Copy)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Jsonrpc,
    Id,
    Method,
    Params,
    #[serde(other)]
    Other,
}

impl<'a> Call<'a> {
    fn invalid(why: &'static str) -> Call<'a> {
        Call::Invalid { id: Id::Null, why }
    }

    fn judge(
        version: Option<Shape>,
        id: Option<Shape>,
        method: Option<Shape>,
        params: Option<&'a RawValue>,
    ) -> Call<'a> {
        let id = match id {
            None => None,
            Some(Shape::Null) => Some(Id::Null),
            Some(Shape::Number(number)) => Some(Id::Number(number)),
            Some(Shape::Text(text)) => Some(Id::Text(text)),
            Some(Shape::LongText) => return Call::invalid("the id is longer than 256 bytes"),
            Some(Shape::Bool | Shape::Structure) => {
                return Call::invalid("the id must be a text, a number or null")
            }
        };
        let invalid = |why| Call::Invalid {
            id: id.clone().unwrap_or(Id::Null),
            why,
        };
        if !matches!(&version, Some(Shape::Text(text)) if text == "2.0") {
            return invalid("jsonrpc must be \"2.0\"");
        }
        let method = match method {
            Some(Shape::Text(name)) => name,
            // No method has such a long name: let it be a method that does not exist.
            Some(Shape::LongText) => String::new(),
            _ => return invalid("method must be a text"),
        };
        let params = match params.map(RawValue::get) {
            // Some clients write null for "none".
            None | Some("null") => None,
            Some(text) if text.starts_with(['[', '{']) => Some(text),
            Some(_) => return invalid("params must be a list or an object"),
        };
        Call::Valid { id, method, params }
    }
}

/// Visits of scalars, which are the same wherever no scalar is a call.
macro_rules! scalars {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

const NO_OBJECT: &str = "a call is an object with jsonrpc, method and id";

impl<'de> Deserialize<'de> for Posted<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Posted<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Posted<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a call or a list of calls")
            }
            scalars!(Posted::Single(Call::invalid(NO_OBJECT)));
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Posted<'de>, A::Error> {
                read_call(map).map(Posted::Single)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Posted<'de>, A::Error> {
                let mut calls = Vec::new();
                while calls.len() < MAX_BATCH {
                    match list.next_element()? {
                        Some(call) => calls.push(call),
                        None if calls.is_empty() => {
                            return Ok(Posted::Refused("the batch is empty"))
                        }
                        None => return Ok(Posted::Batch(calls)),
                    }
                }
                let mut too_many = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(if too_many {
                    Posted::Refused("a batch has at most 100 calls; split it")
                } else {
                    Posted::Batch(calls)
                })
            }
        }
        input.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Call<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Call<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Call<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a call")
            }
            scalars!(Call::invalid(NO_OBJECT));
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Call<'de>, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Call::invalid(NO_OBJECT))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Call<'de>, A::Error> {
                read_call(map)
            }
        }
        input.deserialize_any(Reader)
    }
}

fn read_call<'de, A: MapAccess<'de>>(mut map: A) -> Result<Call<'de>, A::Error> {
    let (mut version, mut id, mut method, mut params) = (None, None, None, None);
    let mut twice = false;
    while let Some(member) = map.next_key::<Member>()? {
        let place = match member {
            Member::Jsonrpc => &mut version,
            Member::Id => &mut id,
            Member::Method => &mut method,
            Member::Params => {
                twice |= params.replace(map.next_value::<&RawValue>()?).is_some();
                continue;
            }
            Member::Other => {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        twice |= place.replace(map.next_value::<Shape>()?).is_some();
    }
    if twice {
        // Two programs could read it in two ways.
        return Ok(Call::invalid("a member of the call came twice"));
    }
    Ok(Call::judge(version, id, method, params))
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Shape, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Shape;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
                Ok(Shape::Bool)
            }
            fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
                Ok(Shape::Number(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
                Ok(Shape::Number(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
                Ok(serde_json::Number::from_f64(value).map_or(Shape::Null, Shape::Number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
                Ok(if text.len() > MAX_ID {
                    Shape::LongText
                } else {
                    Shape::Text(text.to_owned())
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Shape::Structure)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Shape::Structure)
            }
        }
        input.deserialize_any(Reader)
    }
}
