//! RLP: canonical forms alone, and no input that crashes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
use super::*;
use crate::identity::hex;
use proptest::prelude::*;

const VECTORS: &str = include_str!("../../../docs/vectors.json");

#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Text(Vec<u8>),
    List(Vec<Tree>),
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..70),
        proptest::collection::vec(any::<u8>(), 250..260),
    ]
    .prop_map(Tree::Text);
    leaf.prop_recursive(5, 40, 6, |inner| {
        proptest::collection::vec(inner, 0..6).prop_map(Tree::List)
    })
}

fn write(tree: &Tree, to: &mut Encoder) {
    match tree {
        Tree::Text(bytes) => {
            to.bytes(bytes);
        }
        Tree::List(items) => {
            to.list(|to| items.iter().for_each(|item| write(item, to)));
        }
    }
}

fn encode(tree: &Tree) -> Vec<u8> {
    let mut encoder = Encoder::new();
    write(tree, &mut encoder);
    encoder.finish()
}

fn read(item: Item<'_>) -> Tree {
    if item.is_list() {
        Tree::List(item.items().unwrap().map(read).collect())
    } else {
        Tree::Text(item.bytes().unwrap().to_vec())
    }
}

#[test]
fn our_bytes_are_the_bytes_that_others_write() {
    let all: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let mut seen = 0;
    for vector in all["vectors"].as_array().unwrap() {
        if vector["category"] != "rlp" {
            continue;
        }
        let input = &vector["input"];
        let mut encoder = Encoder::new();
        if let Some(number) = input["int"].as_u64() {
            encoder.u64(number);
        } else if let Some(digits) = input["bytes"].as_str() {
            encoder.bytes(&hex::decode(digits).unwrap());
        } else if let Some(repeat) = input["bytes_repeat"].as_str() {
            let (byte, times) = repeat.split_once(" x ").unwrap();
            encoder.bytes(&hex::decode(byte).unwrap().repeat(times.parse().unwrap()));
        } else {
            let map = input["map"].as_object().unwrap();
            encoder.list(|map_out| {
                for (key, value) in map {
                    map_out.list(|pair| {
                        pair.bytes(key.as_bytes());
                        pair.bytes(value.as_str().unwrap().as_bytes());
                    });
                }
            });
        }
        let bytes = encoder.finish();
        let wanted = vector["expected"]["rlp"].as_str().unwrap();
        assert_eq!(hex::encode(&bytes), wanted, "{}", vector["id"]);
        let item = Item::parse(&bytes).unwrap();
        if let Some(number) = input["int"].as_u64() {
            assert_eq!(item.u64().unwrap(), number);
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn a_second_spelling_of_a_value_is_refused() {
    for (bytes, why) in [
        ("8100", RlpError::NotCanonical),   // one small byte, spelt long
        ("b800", RlpError::NotCanonical),   // empty, with a length byte
        ("b80161", RlpError::NotCanonical), // ditto
        ("b90001", RlpError::NotCanonical), // a length with a leading zero
        ("f800", RlpError::NotCanonical),
        ("c28100", RlpError::NotCanonical), // the same inside of a list
        ("", RlpError::Cut),
        ("b8", RlpError::Cut),
        ("bfffffffffffffffff", RlpError::Cut),
        ("ffffffffffffffffff", RlpError::Cut),
        ("c18161", RlpError::Trailing),
        ("c2c281", RlpError::Cut),
        ("0000", RlpError::Trailing),
    ] {
        let bytes = hex::decode(bytes).unwrap();
        assert_eq!(Item::parse(&bytes), Err(why), "{bytes:02x?}");
    }
    assert_eq!(
        Item::parse(&[0]).unwrap().u64(),
        Err(RlpError::NotCanonical)
    );
    let nine = [0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(Item::parse(&nine).unwrap().u64().is_err());
}

#[test]
fn a_megabyte_of_open_brackets_does_not_exhaust_the_stack() {
    let mut tree = Tree::List(vec![]);
    for _ in 1..MAX_DEPTH {
        tree = Tree::List(vec![tree]);
    }
    assert!(Item::parse(&encode(&tree)).is_ok());
    assert_eq!(
        Item::parse(&encode(&Tree::List(vec![tree]))),
        Err(RlpError::TooDeep)
    );
    let mut bytes = vec![0xc0];
    for _ in 0..200_000 {
        let header = Header::new(0xc0, bytes.len());
        bytes.extend(header.as_slice().iter().rev());
    }
    bytes.reverse();
    assert_eq!(Item::parse(&bytes), Err(RlpError::TooDeep));
}

#[test]
fn a_wrong_shape_is_an_error_and_not_a_default() {
    let bytes = encode(&Tree::List(vec![Tree::Text(vec![1, 2])]));
    let list = Item::parse(&bytes).unwrap();
    assert!(list.bytes().is_err());
    assert!(list.u64().is_err());
    assert!(list.tuple::<2>().is_err());
    assert!(list.tuple::<0>().is_err());
    let [text] = list.tuple::<1>().unwrap();
    assert_eq!(text.array::<2>().unwrap(), [1, 2]);
    assert!(text.array::<3>().is_err());
    assert!(text.items().is_err());
}

proptest! {
    #[test]
    fn every_tree_comes_back(tree in trees()) {
        let bytes = encode(&tree);
        prop_assert_eq!(read(Item::parse(&bytes).unwrap()), tree);
        for cut in 0..bytes.len() {
            prop_assert!(Item::parse(&bytes[..cut]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert_eq!(Item::parse(&longer), Err(RlpError::Trailing));
    }

    #[test]
    fn what_can_be_read_has_no_other_spelling(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), 0xb7u8..=0xc4, Just(0u8)], 0..80)) {
        if let Ok(item) = Item::parse(&bytes) {
            prop_assert_eq!(encode(&read(item)), bytes);
        }
    }

    #[test]
    fn every_integer_comes_back(number: u64) {
        let mut encoder = Encoder::new();
        encoder.u64(number);
        let bytes = encoder.finish();
        prop_assert_eq!(Item::parse(&bytes).unwrap().u64().unwrap(), number);
    }
}
