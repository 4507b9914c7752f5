//! Addresses of devices and peers, shortened for those who may not see them in full.
//!
//! Who asks from elsewhere without the operator's token could otherwise read off a node
//! who uses it, and from where (weakness R4 of the network that this one descends from).
//! The text of an answer is looked through, whatever has written it, so that no method, page
//! or event can forget it: `0x` and exactly 40 digits become `0x1234…abcd`, the last part of an
//! IPv4 address becomes `x`, an IPv6 address keeps its first three groups. What is longer,
//! such as hashes of blocks, stays.

use std::net::Ipv6Addr;

/// Shortens what is in `text` but not among `names`; `None` leaves everything.
pub(super) fn shorten(text: Vec<u8>, names: Option<&[String]>) -> Vec<u8> {
    let Some(names) = names else { return text };
    match String::from_utf8(text) {
        Ok(text) => shorten_text(&text, names).into_bytes(),
        // Nothing here writes anything but UTF-8.
        Err(_) => Vec::new(),
    }
}

/// Bytes of which addresses are made, in any notation.
fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'_')
}

/// The same for a text, such as a page or an event.
pub(super) fn shorten_text(text: &str, names: &[String]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.bytes().position(|b| !is_part(b)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word).unwrap_or((rest, ""));
        shorten_word(word, names, &mut out);
        let gap = after.bytes().position(is_part).unwrap_or(after.len());
        let (gap, after) = after.split_at_checked(gap).unwrap_or((after, ""));
        out.push_str(gap);
        rest = after;
    }
    out
}

fn shorten_word(word: &str, names: &[String], out: &mut String) {
    // An IPv6 address comes without its brackets, which are gaps; a port is behind one.
    let is_v6 = word.matches(':').count() >= 2 && word.bytes().any(|b| b != b':');
    if is_v6 && !names.iter().any(|name| name == word) {
        if let Ok(ip) = word.trim_end_matches(['.', ':']).parse::<Ipv6Addr>() {
            let [a, b, c, ..] = ip.segments();
            out.push_str(&format!("{a:x}:{b:x}:{c:x}::x"));
            return;
        }
    }
    for (n, part) in word.split(':').enumerate() {
        if n > 0 {
            out.push(':');
        }
        shorten_part(part, names, out);
    }
}

fn shorten_part(part: &str, names: &[String], out: &mut String) {
    let bare = part.trim_end_matches('.');
    let tail = part.get(bare.len()..).unwrap_or_default();
    if names.iter().any(|name| name == bare) {
        out.push_str(part);
        return;
    }
    if let Some((head, end)) = id_ends(bare) {
        out.push_str(&format!("0x{head}\u{2026}{end}"));
    } else if let Some(network) = v4_network(bare) {
        out.push_str(network);
        out.push_str(".x");
    } else {
        out.push_str(bare);
    }
    out.push_str(tail);
}

/// The ends of an id.
fn id_ends(word: &str) -> Option<(&str, &str)> {
    let digits = word
        .strip_prefix("0x")
        .or_else(|| word.strip_prefix("0X"))?;
    let is_id = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_id.then(|| Some((digits.get(..4)?, digits.get(36..)?)))?
}

/// The first three parts of an IPv4 address.
fn v4_network(word: &str) -> Option<&str> {
    let octet = |part: &str| part.len() <= 3 && part.parse::<u8>().is_ok();
    let is_v4 = word.split('.').count() == 4 && word.split('.').all(octet);
    is_v4.then(|| Some(word.rsplit_once('.')?.0))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_of_others_is_left_in_any_notation() {
        let id = "0x52908400098527886E0F7030069857D2E4169EE7";
        let own = "0x00000000000000000000000000000000000000aa";
        let names = [own.to_owned(), "198.51.100.7".to_owned()];
        for (text, want) in [
            (
                format!("{{\"a\":\"{id}\"}}"),
                "{\"a\":\"0x5290\u{2026}9EE7\"}".to_owned(),
            ),
            (
                format!("{id}@192.0.2.17:41046."),
                "0x5290\u{2026}9EE7@192.0.2.x:41046.".to_owned(),
            ),
            (
                format!("no link to {id}: 192.0.2.17."),
                "no link to 0x5290\u{2026}9EE7: 192.0.2.x.".to_owned(),
            ),
            (
                "[2001:db8:1:2::3]:51055".to_owned(),
                "[2001:db8:1::x]:51055".to_owned(),
            ),
            ("::ffff:192.0.2.17".to_owned(), "0:0:0::x".to_owned()),
            (
                "fe80::1%eth0, ::1".to_owned(),
                "fe80:0:0::x%eth0, 0:0:0::x".to_owned(),
            ),
            (
                format!("{id}/{id}"),
                "0x5290\u{2026}9EE7/0x5290\u{2026}9EE7".to_owned(),
            ),
        ] {
            assert_eq!(shorten_text(&text, &names), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let own = "0x00000000000000000000000000000000000000aa".to_owned();
        let names = [own.clone(), "198.51.100.7".to_owned()];
        for text in [
            own.as_str(),
            "198.51.100.7:41046",
            "version 0.1.0, at 12:30:05",
            "1.2.3.4.5 and 1.2.3.256",
            "0x52908400098527886E0F7030069857D2E4169EE70000",
            "chr_node::rpc\u{2026}\u{1F600} :: \"key\":12",
            "",
        ] {
            assert_eq!(shorten_text(text, &names), text);
        }
    }
}
