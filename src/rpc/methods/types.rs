//! A small language for the types of parameters and results, and what follows from
//! a type: whether a value is of it, how it is told in words, its JSON schema.
//!
//! ```text
//! type   = single, { "|", single }, [ "?" ]          `?`: or null
//! single = word | '"' text '"' | "@" method | "[" type "]" | "{" "*" ":" type "}" | "{" fields "}"
//! field  = name, [ "?" ], ":", type, [ "--" words ]  `name?`: may be left out
//! ```
//! Fields are separated by commas or line ends. `@method` is the type of that method's result. Words: `string`, `integer`, `number`, `boolean`,
//! `any`, `object`, `address` (20 bytes), `hash` (32 bytes), `data` (bytes), `quantity` (all of them
//! hexadecimal after `0x`), `block` (a quantity or a word such as `latest`).

use crate::sorted::object;
use serde_json::{Map, Value};

/// Words that stand for a block.
const BLOCK_TAGS: [&str; 5] = ["latest", "earliest", "pending", "safe", "finalized"];

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::rpc) enum Type<'a> {
    /// One of the words.
    Word(&'a str),
    /// Exactly this text.
    Text(&'a str),
    /// What that method returns.
    Result(&'a str),
    /// A list of one type.
    List(Box<Type<'a>>),
    /// An object with any names and one type.
    Map(Box<Type<'a>>),
    /// An object with these members.
    Object(Vec<Field<'a>>),
    /// Any of these.
    Union(Vec<Type<'a>>),
    /// That, or null.
    Nullable(Box<Type<'a>>),
}

/// A member of an object, or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::rpc) struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Its type.
    pub kind: Type<'a>,
    /// What it says.
    pub doc: &'a str,
}

/// Reads a type. `None`: the text is not one, which a test excludes for all rows.
pub(in crate::rpc) fn parse(text: &str) -> Option<Type<'_>> {
    let mut reader = Reader(text);
    let kind = reader.kind()?;
    reader.blank();
    reader.0.is_empty().then_some(kind)
}

/// Reads the fields of an object without its braces.
pub(in crate::rpc) fn fields(text: &str) -> Option<Vec<Field<'_>>> {
    let mut reader = Reader(text);
    let fields = reader.fields()?;
    reader.0.is_empty().then_some(fields)
}

/// What is left to read.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn blank(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, mark: &str) -> bool {
        self.blank();
        let rest = self.0.strip_prefix(mark);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at_checked(length).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    fn word(&mut self) -> Option<&'a str> {
        self.blank();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = self.0.find(|c| !part(c)).unwrap_or(self.0.len());
        (length > 0).then(|| self.take(length))
    }

    fn kind(&mut self) -> Option<Type<'a>> {
        let first = self.single()?;
        let kind = if self.eat("|") {
            let mut all = vec![first, self.single()?];
            while self.eat("|") {
                all.push(self.single()?);
            }
            Type::Union(all)
        } else {
            first
        };
        Some(if self.eat("?") {
            Type::Nullable(Box::new(kind))
        } else {
            kind
        })
    }

    fn single(&mut self) -> Option<Type<'a>> {
        if self.eat("[") {
            let inner = self.kind()?;
            return self.eat("]").then(|| Type::List(Box::new(inner)));
        }
        if self.eat("{") {
            let kind = if self.eat("*") {
                let inner = if self.eat(":") {
                    self.kind()?
                } else {
                    return None;
                };
                Type::Map(Box::new(inner))
            } else {
                Type::Object(self.fields()?)
            };
            return self.eat("}").then_some(kind);
        }
        if self.eat("@") {
            return self.word().map(Type::Result);
        }
        if self.eat("\"") {
            let end = self.0.find('"')?;
            let text = self.take(end);
            return self.eat("\"").then_some(Type::Text(text));
        }
        self.word().map(Type::Word)
    }

    fn fields(&mut self) -> Option<Vec<Field<'a>>> {
        let mut fields = Vec::new();
        loop {
            while self.eat(",") {}
            self.blank();
            if self.0.is_empty() || self.0.starts_with('}') {
                return Some(fields);
            }
            let name = self.word()?;
            let optional = self.eat("?");
            let kind = if self.eat(":") {
                self.kind()?
            } else {
                return None;
            };
            // A remark belongs to the field before it on the same line.
            let line = self.0.trim_start_matches(' ');
            let doc = match line.strip_prefix("--") {
                Some(rest) => {
                    self.0 = rest;
                    self.take(rest.find('\n').unwrap_or(rest.len())).trim()
                }
                None => "",
            };
            fields.push(Field {
                name,
                optional,
                kind,
                doc,
            });
        }
    }
}

/// What a method returns, unless that is only something else's result: there are no circles.
fn result_of(method: &str) -> Option<Type<'static>> {
    super::find(method).and_then(|method| parse(method.result))
}

/// Whether a text is `0x` and hexadecimal digits, as many as `fits` allows.
fn is_hex(value: &Value, fits: impl Fn(usize) -> bool) -> bool {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits.is_some_and(|digits| {
        fits(digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl Type<'_> {
    /// Whether a value is of this type. Names that an object does not have are refused:
    /// they are slips, and would have no effect.
    pub fn takes(&self, value: &Value) -> bool {
        match self {
            Type::Text(text) => value == text,
            Type::Result(name) => result_of(name).is_none_or(|kind| kind.takes(value)),
            Type::Nullable(inner) => value.is_null() || inner.takes(value),
            Type::Union(all) => all.iter().any(|kind| kind.takes(value)),
            Type::List(inner) => value
                .as_array()
                .is_some_and(|list| list.iter().all(|item| inner.takes(item))),
            Type::Map(inner) => value
                .as_object()
                .is_some_and(|map| map.values().all(|item| inner.takes(item))),
            Type::Object(fields) => value.as_object().is_some_and(|map| {
                let known = |name: &String| fields.iter().any(|field| field.name == name);
                map.keys().all(known)
                    && fields.iter().all(|field| match map.get(field.name) {
                        Some(value) => field.kind.takes(value),
                        None => field.optional,
                    })
            }),
            Type::Word(word) => match *word {
                "string" => value.is_string(),
                "integer" => value.is_u64() || value.is_i64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "object" => value.is_object(),
                "address" => is_hex(value, |digits| digits == 40),
                "hash" => is_hex(value, |digits| digits == 64),
                "data" => is_hex(value, |digits| digits % 2 == 0),
                "quantity" => is_hex(value, |digits| (1..=64).contains(&digits)),
                "block" => {
                    is_hex(value, |digits| (1..=16).contains(&digits))
                        || BLOCK_TAGS.iter().any(|tag| value == tag)
                }
                _ => true,
            },
        }
    }

    /// In words, for an error.
    pub fn words(&self) -> String {
        match self {
            Type::Text(text) => format!("\"{text}\""),
            Type::Result(name) => format!("what {name} returns"),
            Type::Nullable(inner) => format!("{} or null", inner.words()),
            Type::Union(all) => {
                let all: Vec<String> = all.iter().map(Type::words).collect();
                all.join(" or ")
            }
            Type::List(inner) => format!("a list, each {}", inner.words()),
            Type::Map(inner) => format!("an object, each value {}", inner.words()),
            Type::Object(fields) => {
                let tell = |field: &Field<'_>| {
                    let mark = if field.optional { " (optional)" } else { "" };
                    format!("{}: {}{mark}", field.name, field.kind.words())
                };
                let all: Vec<String> = fields.iter().map(tell).collect();
                format!("an object with {}", all.join(", "))
            }
            Type::Word(word) => match *word {
                "string" => "a text",
                "integer" => "a whole number",
                "number" => "a number",
                "boolean" => "true or false",
                "object" => "an object",
                "address" => "an address (0x and 40 hexadecimal digits)",
                "hash" => "a hash (0x and 64 hexadecimal digits)",
                "data" => "bytes (0x and an even number of hexadecimal digits)",
                "quantity" => "a number in hexadecimal (0x and 1 to 64 digits)",
                "block" => "a block (0x and 1 to 16 hexadecimal digits, or latest, earliest, pending, safe, finalized)",
                _ => "any value",
            }
            .to_owned(),
        }
    }

    /// As a JSON schema (draft 7). A value that the program hands out (`told`) may have
    /// its address shortened.
    pub fn schema(&self, told: bool) -> Value {
        let hex =
            |pattern: &str| object(&mut [("type", "string".into()), ("pattern", pattern.into())]);
        match self {
            Type::Text(text) => object(&mut [("const", (*text).into())]),
            Type::Result(name) => {
                result_of(name).map_or(Value::Bool(true), |kind| kind.schema(told))
            }
            Type::Nullable(inner) => {
                let null = object(&mut [("type", "null".into())]);
                object(&mut [("anyOf", vec![inner.schema(told), null].into())])
            }
            Type::Union(all) => {
                let all: Vec<Value> = all.iter().map(|kind| kind.schema(told)).collect();
                object(&mut [("anyOf", all.into())])
            }
            Type::List(inner) => {
                object(&mut [("type", "array".into()), ("items", inner.schema(told))])
            }
            Type::Map(inner) => object(&mut [
                ("type", "object".into()),
                ("additionalProperties", inner.schema(told)),
            ]),
            Type::Object(fields) => {
                let mut properties = Map::new();
                let mut required = Vec::new();
                for field in fields {
                    properties.insert(field.name.to_owned(), field.schema(told));
                    if !field.optional {
                        required.push(Value::from(field.name));
                    }
                }
                object(&mut [
                    ("type", "object".into()),
                    ("properties", properties.into()),
                    ("required", required.into()),
                    ("additionalProperties", false.into()),
                ])
            }
            Type::Word(word) => match *word {
                "string" | "integer" | "number" | "boolean" | "object" => {
                    object(&mut [("type", (*word).into())])
                }
                "address" if told => hex("^0x([0-9a-f]{40}|[0-9a-f]{4}\u{2026}[0-9a-f]{4})$"),
                "address" => hex("^0x[0-9a-fA-F]{40}$"),
                "hash" => hex("^0x[0-9a-fA-F]{64}$"),
                "data" => hex("^0x([0-9a-fA-F]{2})*$"),
                "quantity" => hex("^0x[0-9a-fA-F]{1,64}$"),
                "block" => hex("^(0x[0-9a-fA-F]{1,16}|latest|earliest|pending|safe|finalized)$"),
                _ => Value::Bool(true),
            },
        }
    }
}

impl Field<'_> {
    /// The schema of its value, with its words.
    pub fn schema(&self, told: bool) -> Value {
        let mut schema = self.kind.schema(told);
        if let (Some(schema), false) = (schema.as_object_mut(), self.doc.is_empty()) {
            schema.insert("description".to_owned(), self.doc.into());
        }
        schema
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_type_is_read_as_it_is_written() {
        let kind =
            parse("{ a: integer? -- how many, by count\n b?: [\"x\" | \"y\"], c: {*: any} }")
                .unwrap();
        let schema = kind.schema(true);
        assert_eq!(schema["required"], json!(["a", "c"]));
        assert_eq!(
            schema["properties"]["a"]["description"],
            "how many, by count"
        );
        assert_eq!(
            schema["properties"]["b"]["items"]["anyOf"][1],
            json!({"const": "y"})
        );
        assert!(kind.takes(&json!({"a": null, "b": ["y", "x"], "c": {"k": [1]}})));
        for wrong in [
            json!({"a": null}),
            json!({"a": 1.5, "c": {}}),
            json!({"a": 1, "b": ["z"], "c": {}}),
            json!({"a": 1, "c": {}, "d": 1}),
            json!([]),
        ] {
            assert!(!kind.takes(&wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_type_is_noticed() {
        for text in [
            "",
            "{a integer}",
            "[string",
            "{a: }",
            "{*: string",
            "string string",
            "\"x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_words_have_their_lengths() {
        let takes = |word: &str, value: &str| parse(word).unwrap().takes(&json!(value));
        let address = format!("0x{}", "aB".repeat(20));
        assert!(takes("address", &address));
        assert!(!takes("address", &address[..41]) && !takes("address", &address.replace('a', "g")));
        assert!(takes("data", "0x") && takes("data", "0x00") && !takes("data", "0x0"));
        assert!(takes("quantity", "0x0") && !takes("quantity", "0x") && !takes("quantity", "1"));
        assert!(takes("block", "latest") && takes("block", "0xff") && !takes("block", "newest"));
    }
}
