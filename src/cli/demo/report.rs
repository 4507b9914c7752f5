//! What the demonstration says: one screen of 24 lines and 80 columns, or one
//! JSON object.

use crate::cli::screen::{amount, short};
use crate::identity::Address;
use std::net::SocketAddr;
use std::time::Duration;

use super::network::PORT;

/// Who takes part, and where.
#[derive(Clone, Debug)]
pub struct Parties {
    /// The node.
    pub node: Address,
    /// Where it serves devices.
    pub place: SocketAddr,
    /// The device that publishes.
    pub server: Address,
    /// The web server beside it.
    pub web: SocketAddr,
    /// The device that forwards.
    pub laptop: Address,
    /// Its local port.
    pub listen: SocketAddr,
}

/// A device's account at the node, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// What the device's ticket is for.
    pub signed: u64,
    /// What the node has counted.
    pub counted: u64,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Bytes of the download.
    pub bytes: u64,
    /// What it took, from the request to the last byte.
    pub download: Duration,
    /// A new connection, up to its first page.
    pub first: Duration,
    /// A page on a connection that stands, there and back: the median.
    pub page: Duration,
    /// Of so many.
    pub pages: usize,
    /// The accounts of the server and the laptop.
    pub paid: [Paid; 2],
    /// Memory of the process, where the system tells.
    pub memory: Option<u64>,
    /// The whole demonstration.
    pub took: Duration,
}

impl Measured {
    /// Bytes a second.
    fn rate(&self) -> u64 {
        let seconds = self.download.as_secs_f64().max(f64::EPSILON);
        (self.bytes as f64 / seconds) as u64
    }
}

/// The first half, for people who wait for the second.
#[must_use]
pub fn who_is_who(parties: &Parties) -> String {
    format!(
        "\
chr-node demo: a node and two devices in this process, over real sockets

  node     {}  serves devices on {}
  server   {}  publishes its web server {} as port {PORT}
  laptop   {}  forwards its own {} to port {PORT} of server

  client -> laptop ====TLS====> node <====TLS==== server -> web server
                \\______ TLS from end to end ______/
               the node carries the bytes, and cannot read them
",
        short(parties.node),
        parties.place,
        short(parties.server),
        parties.web,
        short(parties.laptop),
        parties.listen,
    )
}

/// The second half.
#[must_use]
pub fn results(measured: &Measured) -> String {
    let [server, laptop] = measured.paid;
    let memory = measured.memory.map_or_else(
        || "this system does not tell".to_owned(),
        |bytes| format!("{} for all of them together, now", amount(bytes)),
    );
    let paid = |paid: Paid| {
        format!(
            "tickets for {}, the node counted {}",
            amount(paid.signed),
            amount(paid.counted)
        )
    };
    format!(
        "
  downloaded   {}, every byte checked
  throughput   {}/s, all parties on one thread
  latency      {} a small page (median of {}), {} a new connection
  payment      server signed {}
               laptop signed {}
               (a ticket covers two seconds more at the present rate)
  memory       {memory}
  time         {}; the keys are forgotten, nothing was written to disk

The same on three machines:
  node$    chr-node run
  server$  chr-node publish {PORT}:public --node NODE:41046
  laptop$  chr-node forward 127.0.0.1:{PORT} 0xSERVER:{PORT} --node NODE:41046
",
        amount(measured.bytes),
        amount(measured.rate()),
        time(measured.page),
        measured.pages,
        time(measured.first),
        paid(server),
        paid(laptop),
        time(measured.took),
    )
}

/// `0.23 ms`, `1.8 s`: two digits where they tell something.
fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms >= 999.5 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 99.5 => format!("{ms:.0} ms"),
        ms if ms >= 9.95 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// The whole for scripts, one line: bytes and times are integers. Written by
/// hand, because nothing in it has to be escaped.
#[must_use]
pub fn json(parties: &Parties, measured: &Measured) -> String {
    let [server, laptop] = measured.paid;
    let memory = measured.memory.map(|bytes| bytes.to_string());
    format!(
        "{{\"node\":{{\"address\":\"{}\",\"edge\":\"{}\"}},\
         \"server\":{{\"address\":\"{}\",\"port\":\"{}\",\"target\":\"{}\",\"signed_bytes\":{},\"counted_bytes\":{}}},\
         \"laptop\":{{\"address\":\"{}\",\"listen\":\"{}\",\"signed_bytes\":{},\"counted_bytes\":{}}},\
         \"bytes\":{},\"bytes_per_second\":{},\"download_us\":{},\"connect_us\":{},\
         \"latency_p50_us\":{},\"latency_samples\":{},\"memory_bytes\":{},\"took_us\":{}}}\n",
        parties.node,
        parties.place,
        parties.server,
        crate::edge::port_name(PORT, false, false),
        parties.web,
        server.signed,
        server.counted,
        parties.laptop,
        parties.listen,
        laptop.signed,
        laptop.counted,
        measured.bytes,
        measured.rate(),
        measured.download.as_micros(),
        measured.first.as_micros(),
        measured.page.as_micros(),
        measured.pages,
        memory.as_deref().unwrap_or("null"),
        measured.took.as_micros(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    /// The widest of everything.
    fn widest() -> (Parties, Measured) {
        let address = Address([0xdd; 20]);
        let place: SocketAddr = "127.0.0.1:65535".parse().unwrap();
        let paid = Paid {
            signed: 4_299_000_000,
            counted: 4_299_000_000,
        };
        let time = Duration::from_millis(123_456);
        let parties = Parties {
            node: address,
            place,
            server: address,
            web: place,
            laptop: address,
            listen: place,
        };
        let measured = Measured {
            bytes: 4_299_000_000,
            download: Duration::from_secs(40),
            first: Duration::from_millis(14_999),
            page: Duration::from_millis(14_999),
            pages: 200,
            paid: [paid; 2],
            memory: Some(123_456_789),
            took: time,
        };
        (parties, measured)
    }

    #[test]
    fn the_screen_never_outgrows_an_old_terminal() {
        let (parties, measured) = widest();
        let screen = who_is_who(&parties) + &results(&measured);
        // One line is the prompt's.
        assert!(screen.lines().count() <= 23, "{screen}");
        for line in screen.lines() {
            assert!(line.chars().count() <= 79, "{line}");
            assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn the_commands_on_the_screen_are_understood() {
        let (_, measured) = widest();
        let address = Address([0x11; 20]).to_string();
        let text = results(&measured).replace("0xSERVER", &address);
        let mut seen = 0;
        for line in text.lines().filter_map(|line| line.split_once("$ ")) {
            let words = line.1.trim().strip_prefix("chr-node ").unwrap();
            let words = words.split_whitespace().map(std::ffi::OsString::from);
            crate::cli::parse(words).expect(line.1);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }

    #[test]
    fn the_object_for_scripts_is_one_also_where_memory_is_not_known() {
        let (parties, mut measured) = widest();
        let text = json(&parties, &measured);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["memory_bytes"], 123_456_789);
        assert_eq!(object["laptop"]["counted_bytes"], 4_299_000_000_u64);
        measured.memory = None;
        let text = json(&parties, &measured);
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(object["memory_bytes"].is_null());
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_download_in_no_time_is_not_divided_by_it() {
        assert_eq!(Measured::default().rate(), 0);
        for (micros, text) in [
            (234, "0.23 ms"),
            (9_960, "10.0 ms"),
            (99_970, "100 ms"),
            (999_600, "1.0 s"),
            (12_340_000, "12.3 s"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
    }
}
