//! Rows as lines of JSON, and back, bit for bit.
//!
//! ```text
//! {"key":"68001b…","row":{"span":"hour","unix":1795381200,…},"table":"node_stats","version":2}
//! {"key":"…","table":"cache","value":"0a1b…","version":1}
//! ```
//!
//! What a row's fields are is told by a [`SHAPES`] line, and one reader and one
//! writer for all of them turn postcard into JSON and back. A row whose layout has
//! no line, or that would not come back bit for bit, goes as the bytes that it is.
//!
//! | type | in postcard | in JSON |
//! | --- | --- | --- |
//! | `uint` | varint | number |
//! | `big` | varint of 128 bits | text, decimal |
//! | `many:a,b` | varint count, then so many times these varints | list of objects |
//! | `bool` | one byte | true, false |
//! | `hex:N` | N bytes | text, hexadecimal |
//! | `bytes` | varint length, bytes | text, hexadecimal |
//! | `text` | varint length, bytes | text |
//! | `one:a\|b` | varint | the word |
//! | `?` before a type | 0, or 1 and the type | null, or the type |

use crate::identity::hex::{decode as decode_hex, encode as encode_hex};
use crate::store::transfer::RawRow;
use crate::store::Table;
use serde_json::{Map, Value};

/// A layout: table, version, what the key is (all, or one of the rows that have a
/// layout of their own), fields.
type Shape = (Table, u8, Option<&'static [u8]>, &'static str);

/// The layouts that this program writes.
pub const SHAPES: [Shape; 8] = [
    (Table::Meta, 1, Some(b"clock-floor"), "unix=uint"),
    (Table::Meta, 1, Some(b"node-record"), "number=uint"),
    (
        Table::Tickets,
        1,
        None,
        "device=hex:20 usage=uint ports=uint chain_id=uint epoch=uint fleet=hex:20 \
         total_connections=uint total_bytes=uint local_address=bytes signature=hex:65",
    ),
    (
        Table::NodeStats,
        2,
        None,
        "span=one:minute|hour unix=uint seconds=uint connections=uint bytes_in=uint \
         bytes_out=uint uptime_seconds=uint peers=uint latency_ms=uint tickets=uint errors=uint",
    ),
    (
        Table::PeerHistory,
        1,
        None,
        "id=hex:20 ip=hex:16 port=uint first_seen=uint last_seen=uint answers=uint \
         silences=uint links=uint dialled=uint failed=uint rtt_micros=uint in_table=bool",
    ),
    (
        Table::DhtValues,
        1,
        None,
        "place=bytes ends=uint source=?uint record=bytes",
    ),
    (
        Table::RewardTracking,
        1,
        None,
        "over=bool start=uint end=uint seen=uint up_ms=uint latency=uint looks=uint good=uint \
         bad=uint sent=uint waiting=uint ticket_count=uint ticket_bytes=uint ticket_value=uint \
         earned=?big total=?big marks=many:epoch,bytes,score",
    ),
    (Table::Cache, 1, None, "key=bytes at=uint value=bytes"),
];

/// The fields of a row, if its layout is known.
fn shape(row: &RawRow) -> Option<&'static str> {
    let mut shapes = SHAPES.iter();
    let found = shapes.find(|(table, version, key, _)| {
        *table == row.table && *version == row.version && key.is_none_or(|key| key == row.key)
    });
    found.map(|(_, _, _, shape)| *shape)
}

fn fields(shape: &str) -> impl Iterator<Item = (&str, &str)> {
    shape.split_whitespace().filter_map(|f| f.split_once('='))
}

/// The row as an object.
#[must_use]
pub fn to_json(row: &RawRow) -> Value {
    let mut object = Map::new();
    object.insert("table".into(), row.table.name().into());
    object.insert("key".into(), encode_hex(&row.key).into());
    object.insert("version".into(), row.version.into());
    let decoded = shape(row).and_then(|shape| {
        let told = decode(shape, &row.body)?;
        (encode(shape, &told).ok()? == row.body).then_some(told)
    });
    match decoded {
        Some(told) => object.insert("row".into(), Value::Object(told)),
        None => object.insert("value".into(), encode_hex(&row.body).into()),
    };
    Value::Object(object)
}

/// The row of a line; the error is one for people.
///
/// # Errors
/// What is wrong with it.
pub fn from_json(value: &Value) -> Result<RawRow, String> {
    let text = |name: &str| {
        let found = value.get(name).and_then(Value::as_str);
        found.ok_or_else(|| format!("\"{name}\" is missing or no text"))
    };
    let name = text("table")?;
    let table = Table::named(name.as_bytes()).ok_or_else(|| format!("no table \"{name}\""))?;
    let key = decode_hex(text("key")?).ok_or("\"key\" is not hexadecimal")?;
    let version = value.get("version").and_then(Value::as_u64);
    let version = version.and_then(|version| u8::try_from(version).ok());
    let version = version.ok_or("\"version\" is missing or no number up to 255")?;
    let mut row = RawRow {
        table,
        key,
        version,
        body: Vec::new(),
    };
    row.body = match value.get("row") {
        Some(Value::Object(told)) => {
            let shape = shape(&row)
                .ok_or_else(|| format!("rows of {name} of version {version} are not known here"))?;
            encode(shape, told)?
        }
        Some(_) => return Err("\"row\" is no object".into()),
        None => decode_hex(text("value")?).ok_or("\"value\" is not hexadecimal")?,
    };
    Ok(row)
}

fn decode(shape: &str, body: &[u8]) -> Option<Map<String, Value>> {
    let mut rest = body;
    let mut object = Map::new();
    for (name, kind) in fields(shape) {
        object.insert(name.to_owned(), take(kind, &mut rest)?);
    }
    rest.is_empty().then_some(object)
}

fn encode(shape: &str, told: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    for (name, kind) in fields(shape) {
        let value = told.get(name);
        let value = value.ok_or_else(|| format!("\"{name}\" is missing"))?;
        put(kind, value, &mut body)
            .ok_or_else(|| format!("\"{name}\" is not what it should be"))?;
    }
    if told.len() != fields(shape).count() {
        return Err("there are more fields than such a row has".into());
    }
    Ok(body)
}

fn take(kind: &str, rest: &mut &[u8]) -> Option<Value> {
    if let Some(kind) = kind.strip_prefix('?') {
        return match take_bytes(1, rest)? {
            [0] => Some(Value::Null),
            [1] => take(kind, rest),
            _ => None,
        };
    }
    if let Some(length) = kind.strip_prefix("hex:") {
        return Some(encode_hex(take_bytes(length.parse().ok()?, rest)?).into());
    }
    if let Some(words) = kind.strip_prefix("one:") {
        let number = usize::try_from(take_uint(rest)?).ok()?;
        return Some(words.split('|').nth(number)?.into());
    }
    if let Some(names) = kind.strip_prefix("many:") {
        let mut list = Vec::new();
        for _ in 0..take_uint(rest)? {
            let mut item = Map::new();
            for name in names.split(',') {
                item.insert(name.to_owned(), take_uint(rest)?.into());
            }
            list.push(Value::Object(item));
        }
        return Some(list.into());
    }
    match kind {
        "uint" => Some(take_uint(rest)?.into()),
        "big" => Some(take_varint(rest)?.to_string().into()),
        "bool" => match take_bytes(1, rest)? {
            [0] => Some(false.into()),
            [1] => Some(true.into()),
            _ => None,
        },
        "bytes" | "text" => {
            let length = usize::try_from(take_uint(rest)?).ok()?;
            let bytes = take_bytes(length, rest)?;
            Some(match kind {
                "bytes" => encode_hex(bytes).into(),
                _ => std::str::from_utf8(bytes).ok()?.into(),
            })
        }
        _ => None,
    }
}

fn put(kind: &str, value: &Value, body: &mut Vec<u8>) -> Option<()> {
    if let Some(kind) = kind.strip_prefix('?') {
        body.push(u8::from(!value.is_null()));
        return if value.is_null() {
            Some(())
        } else {
            put(kind, value, body)
        };
    }
    if let Some(length) = kind.strip_prefix("hex:") {
        let bytes = decode_hex(value.as_str()?)?;
        body.extend(&bytes);
        return (bytes.len() == length.parse::<usize>().ok()?).then_some(());
    }
    if let Some(words) = kind.strip_prefix("one:") {
        let word = value.as_str()?;
        let number = words.split('|').position(|known| known == word)?;
        put_varint(number as u128, body);
        return Some(());
    }
    if let Some(names) = kind.strip_prefix("many:") {
        let list = value.as_array()?;
        put_varint(list.len() as u128, body);
        for item in list {
            for name in names.split(',') {
                put_varint(item.get(name)?.as_u64()?.into(), body);
            }
        }
        return Some(());
    }
    match kind {
        "uint" => put_varint(value.as_u64()?.into(), body),
        "big" => put_varint(value.as_str()?.parse().ok()?, body),
        "bool" => body.push(u8::from(value.as_bool()?)),
        "bytes" | "text" => {
            let text = value.as_str()?;
            let bytes = match kind {
                "bytes" => decode_hex(text)?,
                _ => text.as_bytes().to_vec(),
            };
            put_varint(bytes.len() as u128, body);
            body.extend(bytes);
        }
        _ => return None,
    }
    Some(())
}

fn take_bytes<'b>(length: usize, rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// A varint of postcard: seven bits a byte, the lowest first.
fn take_varint(rest: &mut &[u8]) -> Option<u128> {
    let mut number = 0u128;
    for shift in (0..128).step_by(7) {
        let [byte] = *take_bytes(1, rest)? else {
            return None;
        };
        number |= u128::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_uint(rest: &mut &[u8]) -> Option<u64> {
    u64::try_from(take_varint(rest)?).ok()
}

fn put_varint(mut number: u128, body: &mut Vec<u8>) {
    while number >= 0x80 {
        body.push(number as u8 | 0x80);
        number >>= 7;
    }
    body.push(number as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::node::statistics::{NodeStats, Span};
    use crate::reward::{Mark, RewardRow};
    use crate::store::{ClockFloor, Record};
    use proptest::prelude::*;

    fn raw<R: Record>(row: &R) -> RawRow {
        RawRow {
            table: R::TABLE,
            key: row.key(),
            version: R::VERSION,
            body: postcard::to_extend(row, Vec::new()).unwrap(),
        }
    }

    fn back(row: &RawRow) -> Value {
        let line = to_json(row).to_string();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(from_json(&value).as_ref(), Ok(row), "{line}");
        value
    }

    #[test]
    fn every_layout_that_is_written_has_its_fields_told() {
        let floor = back(&raw(&ClockFloor { unix: u64::MAX }));
        assert_eq!(floor["row"]["unix"], u64::MAX);
        let stats = NodeStats {
            span: Span::Hour,
            unix: 1_790_000_000,
            seconds: 3600,
            connections: 7,
            bytes_in: u64::MAX,
            bytes_out: 300,
            uptime_seconds: 9,
            peers: 3,
            latency_ms: 41,
            tickets: 128,
            errors: 0,
        };
        let reward = RewardRow {
            start: 1_790_000_000,
            earned: Some(u128::MAX),
            marks: vec![Mark {
                epoch: 692,
                bytes: 7,
                score: u64::MAX,
            }],
            ..RewardRow::default()
        };
        let told = back(&raw(&reward));
        assert_eq!(told["row"]["earned"], u128::MAX.to_string());
        assert_eq!(told["row"]["marks"][0]["score"], u64::MAX);
        let told = back(&raw(&stats));
        assert_eq!(told["row"]["span"], "hour");
        assert_eq!(told["row"]["latency_ms"], 41);
    }

    proptest! {
        #[test]
        fn whatever_bytes_a_row_has_they_come_back(
            table in 0..Table::ALL.len(), version in 0u8..4,
            key in proptest::collection::vec(any::<u8>(), 1..40),
            body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let table = Table::ALL.into_iter().nth(table).unwrap();
            back(&RawRow { table, key, version, body });
        }

        #[test]
        fn no_line_makes_the_reader_panic(text in "\\PC{0,200}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = from_json(&value);
            }
        }
    }

    #[test]
    fn layouts_can_be_read() {
        for (table, _, _, shape) in SHAPES {
            prop_shape(shape).unwrap_or_else(|bad| panic!("{}: {bad}", table.name()));
        }
    }

    /// The first field whose type is not known.
    fn prop_shape(shape: &str) -> Result<(), String> {
        for part in shape.split_whitespace() {
            let (_, kind) = part.split_once('=').ok_or_else(|| part.to_owned())?;
            let kind = kind.trim_start_matches('?');
            let known = ["uint", "big", "bool", "bytes", "text"].contains(&kind)
                || kind.starts_with("many:")
                || kind.starts_with("one:")
                || kind
                    .strip_prefix("hex:")
                    .is_some_and(|n| n.parse::<usize>().is_ok());
            if !known {
                return Err(part.to_owned());
            }
        }
        Ok(())
    }
}
