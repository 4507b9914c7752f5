//! Parameters of the chain's methods: checked before anything goes out, and
//! written in one form, so that the same question has the same key. No I/O.

use serde_json::{json, Map, Value};

/// Longest data of a call in bytes: contracts' largest legal init code (EIP-3860).
pub const DATA_MAX: usize = 49_152;

/// What a parameter has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// 20 bytes.
    Address,
    /// 32 bytes.
    Hash,
    /// A place in a contract's storage: up to 32 bytes.
    Slot,
    /// A block; the newest where it is left out.
    Block,
    /// Whether transactions come whole; no where it is left out.
    Whole,
    /// A transaction that is not sent.
    Call,
}

/// Which block is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The newest that this node knows of.
    Latest,
    /// This one.
    Number(u64),
    /// What the chain takes it for.
    Tag(&'static str),
}

/// Members of a call that may be there, and what they are.
const MEMBERS: [(&str, bool); 8] = [
    ("from", true),
    ("to", true),
    ("gas", false),
    ("gasPrice", false),
    ("maxFeePerGas", false),
    ("maxPriorityFeePerGas", false),
    ("value", false),
    ("nonce", false),
];

/// `0x` and hexadecimal digits, of which `fits` approves the number; in lower case.
fn digits(value: &Value, what: &str, fits: impl Fn(usize) -> bool) -> Result<String, String> {
    let text = value.as_str().unwrap_or_default();
    let digits = text.strip_prefix("0x").unwrap_or("-");
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || !fits(digits.len()) {
        return Err(format!("{what} is wanted"));
    }
    Ok(digits.to_ascii_lowercase())
}

fn fixed(value: &Value, bytes: usize) -> Result<Value, String> {
    let what = format!("0x and {} hexadecimal digits", bytes * 2);
    let found = digits(value, &what, |n| n == bytes * 2)?;
    Ok(json!(format!("0x{found}")))
}

fn quantity(value: &Value) -> Result<String, String> {
    let what = "a quantity, 0x and 1 to 64 hexadecimal digits,";
    let found = digits(value, what, |n| (1..=64).contains(&n))?;
    let found = found.trim_start_matches('0');
    Ok(format!("0x{}", if found.is_empty() { "0" } else { found }))
}

fn data(value: &Value) -> Result<Value, String> {
    let what =
        format!("data, 0x and an even number of hexadecimal digits for at most {DATA_MAX} bytes,");
    let found = digits(value, &what, |n| n % 2 == 0 && n <= DATA_MAX * 2)?;
    Ok(json!(format!("0x{found}")))
}

pub(super) fn block(value: Option<&Value>) -> Result<At, String> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(At::Latest);
    };
    match value.as_str() {
        Some("latest") => return Ok(At::Latest),
        Some("earliest") => return Ok(At::Number(0)),
        Some("pending") => return Ok(At::Tag("pending")),
        Some("safe") => return Ok(At::Tag("safe")),
        Some("finalized") => return Ok(At::Tag("finalized")),
        _ => {}
    }
    let number = quantity(value).ok();
    let number = number.and_then(|n| u64::from_str_radix(n.trim_start_matches("0x"), 16).ok());
    number.map(At::Number).ok_or_else(|| {
        "a block's number (0x and hexadecimal digits) or latest, earliest, pending, safe or finalized is wanted".to_owned()
    })
}

fn call(value: &Value) -> Result<Value, String> {
    let Some(given) = value.as_object() else {
        return Err("an object with to and data is wanted".to_owned());
    };
    let mut checked = Map::new();
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        let inside = |why: String| format!("in {name}, {why}");
        // Both names are in use for the same; the newer one is `input`.
        let (name, value) = match name.as_str() {
            "data" | "input" => ("data", data(value).map_err(inside)?),
            name => match MEMBERS.iter().find(|(known, _)| *known == name) {
                Some((known, true)) => (*known, fixed(value, 20).map_err(inside)?),
                Some((known, false)) => (*known, json!(quantity(value).map_err(inside)?)),
                None => {
                    let short: String = name.chars().take(40).collect();
                    return Err(format!("a member {short:?} of a call is not known"));
                }
            },
        };
        if let Some(before) = checked.insert(name.to_owned(), value.clone()) {
            if before != value {
                return Err("data and input differ".to_owned());
            }
        }
    }
    Ok(Value::Object(checked))
}

impl Param {
    /// The value in its one form; of a block, whatever stands in its place.
    pub(super) fn check(self, value: Option<&Value>) -> Result<Value, String> {
        if let Param::Whole = self {
            return match value {
                None | Some(Value::Null) => Ok(json!(false)),
                Some(Value::Bool(whole)) => Ok(json!(whole)),
                Some(_) => Err("true or false is wanted".to_owned()),
            };
        }
        let missing = || "it is missing".to_owned();
        match self {
            Param::Block => block(value).map(|_| Value::Null),
            Param::Address => fixed(value.ok_or_else(missing)?, 20),
            Param::Hash => fixed(value.ok_or_else(missing)?, 32),
            Param::Slot => quantity(value.ok_or_else(missing)?).map(Value::String),
            Param::Call => call(value.ok_or_else(missing)?),
            Param::Whole => Ok(Value::Null),
        }
    }

    /// What it is called in errors and documents.
    pub(super) fn name(self) -> &'static str {
        match self {
            Param::Address => "address",
            Param::Hash => "hash",
            Param::Slot => "position",
            Param::Block => "block",
            Param::Whole => "full_transactions",
            Param::Call => "transaction",
        }
    }
}
