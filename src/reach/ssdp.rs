//! SSDP (UPnP Device Architecture 1.1, section 1.3): where the gateway describes
//! its services.

use super::http::Place;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where it is asked for.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
/// What is asked for; the first finds both versions of most gateways, some answer
/// to their own version alone.
pub const TARGETS: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];
/// Heads of an answer: more than any device sends.
const HEADERS_MAX: usize = 32;

/// The question. `MX: 1`: answers come within a second.
#[must_use]
pub fn search(target: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
    )
}

/// Where the description is, in an answer that came from the gateway.
#[must_use]
pub fn location(bytes: &[u8], gateway: Ipv4Addr) -> Option<Place> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(bytes).ok()?;
    if response.code != Some(200) {
        return None;
    }
    let value = |name: &str| {
        let mut headers = response.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    if !TARGETS.contains(&value("st")?.trim()) {
        return None;
    }
    Place::parse(value("location")?, gateway)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

    fn told(location: &str) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: {}\r\nEXT:\r\nLocation: {location}\r\n\r\n",
            TARGETS[0]
        )
    }

    #[test]
    fn a_description_elsewhere_is_refused() {
        let good = told("http://192.168.1.1:5000/rootDesc.xml");
        let place = location(good.as_bytes(), GATEWAY).unwrap();
        assert_eq!(place.path, "/rootDesc.xml");
        for wrong in ["http://203.0.113.9/x", "https://192.168.1.1/", "", "x"] {
            assert_eq!(location(told(wrong).as_bytes(), GATEWAY), None, "{wrong}");
        }
        let printer = good.replace("InternetGatewayDevice", "Printer");
        assert_eq!(location(printer.as_bytes(), GATEWAY), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = location(&bytes, GATEWAY);
        }
    }
}
