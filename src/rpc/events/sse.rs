//! Server-sent events: what is asked for, and how it is written (WHATWG HTML,
//! section 9.2), without I/O.

use super::super::reply::Refusal;
use super::{Event, Topic, Topics};

/// What goes out when nothing happens, so that both sides notice a broken
/// connection and no middle box takes it for dead.
pub const HEARTBEAT: &str = ": still here\n\n";

/// The answer's head, and the first line of the stream: who is cut off comes back after two seconds.
pub const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\nretry: 2000\n\n";

/// Longest word of a question that is repeated in a refusal, in characters.
const ECHO: usize = 40;

/// What a listener wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Of these topics.
    pub topics: Topics,
    /// What came after this event.
    pub after: Option<u64>,
}

/// Reads the query of `/events` (`topics=peer,session`; without it all topics)
/// and the header `Last-Event-ID`, with which browsers come back.
///
/// # Errors
/// A topic that there is not.
pub fn wish(query: &str, last_event_id: Option<&[u8]>) -> Result<Wish, Refusal> {
    let mut topics = Topics::default();
    for part in query.split('&') {
        let Some(words) = part.strip_prefix("topics=") else {
            continue;
        };
        let words = words.replace("%2C", ",").replace("%2c", ",");
        let found = Topics::parse(words.split(',').filter(|word| !word.is_empty()));
        topics = topics.and(found.map_err(no_topic)?);
    }
    if topics.is_empty() {
        topics = Topics::all();
    }
    let after = last_event_id.and_then(|id| std::str::from_utf8(id).ok()?.trim().parse().ok());
    Ok(Wish { topics, after })
}

/// Why a word is not taken.
pub fn no_topic(word: &str) -> Refusal {
    let word: String = word.chars().take(ECHO).collect();
    let all = Topic::ALL.map(Topic::word).join(", ");
    Refusal::new(400, format!("there is no topic {word:?}; there are {all}"))
}

/// An event as a browser's EventSource reads it. `data` is what it says, shortened
/// or not; the time is put in front.
#[must_use]
pub fn encode(event: &Event, data: &str) -> String {
    let inner = data.strip_prefix('{').unwrap_or("}");
    let comma = if inner.starts_with('}') { "" } else { "," };
    let time = match event.topic {
        // It has its own.
        Topic::Status => data.to_owned(),
        _ => format!("{{\"time\":{}{comma}{inner}", event.time),
    };
    // JSON made here has no line ends; one in it would end the field.
    let line = time.replace(['\n', '\r'], " ");
    format!(
        "event: {}\nid: {}\ndata: {line}\n\n",
        event.topic.word(),
        event.id
    )
}

/// So many were dropped because they were not taken.
#[must_use]
pub fn lost(count: u64) -> String {
    format!("event: lost\ndata: {{\"count\":{count}}}\n\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::hub;
    use super::*;

    #[test]
    fn topics_and_the_last_event_are_read_as_browsers_send_them() {
        let all = Topics::all();
        let two = Topics::parse(["peer", "block"]).unwrap();
        for (query, header, topics, after) in [
            ("", None, all, None),
            ("topics=", None, all, None),
            ("x=1&y", Some(&b" 17 "[..]), all, Some(17)),
            ("topics=peer,block", Some(b"x"), two, None),
            ("topics=peer%2Cblock", Some(b"-1"), two, None),
            ("topics=peer&topics=block", Some(b"\xff"), two, None),
        ] {
            assert_eq!(wish(query, header), Ok(Wish { topics, after }), "{query}");
        }
        let refusal = wish("topics=peer,weather", None).unwrap_err();
        assert_eq!(refusal.status, 400);
        assert!(refusal.text.contains("weather") && refusal.text.contains("session"));
        assert!(
            wish(&format!("topics={}", "a".repeat(5_000)), None)
                .unwrap_err()
                .text
                .len()
                < 200
        );
    }

    #[test]
    fn an_event_is_one_field_each_and_ends_with_an_empty_line() {
        let hub = hub();
        hub.publish(Topic::Peer, "{\"a\":\"b\"}".to_owned());
        hub.publish(Topic::Block, "{}".to_owned());
        hub.publish(Topic::Health, "{\n\"a\":1}".to_owned());
        let texts: Vec<String> = hub.recent().iter().map(|e| encode(e, e.data())).collect();
        assert_eq!(
            texts,
            [
                "event: peer\nid: 1\ndata: {\"time\":43200,\"a\":\"b\"}\n\n",
                "event: block\nid: 2\ndata: {\"time\":43200}\n\n",
                "event: health\nid: 3\ndata: {\"time\":43200, \"a\":1}\n\n",
            ]
        );
    }
}
