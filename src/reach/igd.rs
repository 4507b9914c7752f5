//! What a gateway describes of itself: which of its services maps ports, and where
//! it is asked.

use super::http::Place;
use super::xml::{element, split};

/// Services that are looked at: real gateways have some ten.
const SERVICES_MAX: usize = 64;
/// Services that map ports, the best first.
const KINDS: [&str; 3] = [
    "WANIPConnection:2",
    "WANIPConnection:1",
    "WANPPPConnection:1",
];
const PREFIX: &str = "urn:schemas-upnp-org:service:";

/// A service that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its full name, as requests carry it.
    pub kind: String,
    /// Where it is asked.
    pub control: Place,
}

impl Service {
    /// Whether it has what the second version brought.
    #[must_use]
    pub fn is_second(&self) -> bool {
        self.kind.ends_with("WANIPConnection:2")
    }
}

/// The services of a description that was found at `at`, the best first. A gateway
/// with a line by PPP and one by Ethernet has several, and one of them is idle.
#[must_use]
pub fn services(text: &str, at: &Place) -> Vec<Service> {
    // Old descriptions name another base; it has to be the gateway all the same.
    let base = element(text, "URLBase").filter(|base| !base.trim().is_empty());
    let base = base.map_or(Some(at.clone()), |base| Place::parse(base, at.ip));
    let Some(base) = base else {
        return Vec::new();
    };
    let mut found: Vec<(usize, Service)> = Vec::new();
    let mut rest = text;
    for _ in 0..SERVICES_MAX {
        let Some((service, after)) = split(rest, "service") else {
            break;
        };
        rest = after;
        let Some(kind) = element(service, "serviceType").map(str::trim) else {
            continue;
        };
        let rank = KINDS
            .iter()
            .position(|known| kind.strip_prefix(PREFIX) == Some(*known));
        let control = element(service, "controlURL").and_then(|path| base.join(path));
        if let (Some(rank), Some(control)) = (rank, control) {
            let kind = kind.to_owned();
            found.push((rank, Service { kind, control }));
        }
    }
    // In the order of the kinds; there are a handful.
    let mut sorted = Vec::new();
    for wanted in 0..KINDS.len() {
        let of_kind = found.iter().filter(|(rank, _)| *rank == wanted);
        sorted.extend(of_kind.map(|(_, service)| service.clone()));
    }
    sorted.truncate(KINDS.len());
    sorted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const TEXT: &str = r#"<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">
        <device><serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
        <controlURL>/ctl/L3F</controlURL></service></serviceList><deviceList><device><deviceList><device><serviceList>
        <service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>/ctl/PPP</controlURL></service>
        <service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ctl/IPConn</controlURL>
        </service></serviceList></device></deviceList></device></deviceList></device></root>"#;

    fn at() -> Place {
        Place::parse(
            "http://10.0.0.1:5000/rootDesc.xml",
            Ipv4Addr::new(10, 0, 0, 1),
        )
        .unwrap()
    }

    #[test]
    fn the_service_that_maps_ports_is_found_among_others() {
        let found = services(TEXT, &at());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].control.path, "/ctl/IPConn");
        assert!(!found[0].is_second());
        let second = TEXT.replace("WANIPConnection:1", "WANIPConnection:2");
        assert!(services(&second, &at())[0].is_second());
    }

    #[test]
    fn a_control_address_elsewhere_is_no_service() {
        let away = TEXT.replace(">/ctl/", ">http://203.0.113.9/");
        assert_eq!(services(&away, &at()), []);
        let base = TEXT.replace(
            "<device><serviceList>",
            "<URLBase>http://203.0.113.9/</URLBase>",
        );
        assert_eq!(services(&base, &at()), []);
    }

    #[test]
    fn ten_thousand_services_are_not_all_read() {
        let many = "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/c</controlURL></service>".repeat(10_000);
        assert_eq!(services(&many, &at()).len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(<service>|</service>|<controlURL>|</controlURL>|[a-z<>/]){0,40}") {
            let _ = services(&text, &at());
        }
    }
}
