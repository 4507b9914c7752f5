//! The five questions that are put to a gateway by UPnP, and its answers
//! (WANIPConnection 1 and 2).

use super::http::{Answer, Place};
use super::igd::Service;
use super::xml::{element, escape};
use super::{Failure, Want};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

/// Another one has the port.
pub const CONFLICT: u16 = 718;
/// The gateway knows only mappings without an end.
pub const ONLY_PERMANENT: u16 = 725;
/// There is no such mapping.
pub const NO_SUCH_ENTRY: u16 = 714;
/// The gateway has no such action.
pub const INVALID_ACTION: u16 = 401;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    place: Place,
    service: String,
    action: &'static str,
    arguments: Vec<(&'static str, String)>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// UPnP's error code.
    Code(u16),
    /// No answer of that kind.
    Garbled,
}

impl Fault {
    /// In the words of all ways.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Fault::Garbled => Failure::Garbled("no SOAP"),
            Fault::Code(606) => Failure::Refused("not authorized".to_owned()),
            Fault::Code(CONFLICT) => Failure::Refused("another device has the port".to_owned()),
            Fault::Code(728) => Failure::Refused("its list of mappings is full".to_owned()),
            Fault::Code(code) => Failure::Refused(format!("UPnP error {code}")),
        }
    }
}

fn ask(service: &Service, action: &'static str, arguments: Vec<(&'static str, String)>) -> Ask {
    Ask {
        place: service.control.clone(),
        service: service.kind.clone(),
        action,
        arguments,
    }
}

/// What the gateway's address outside is.
#[must_use]
pub fn external_address(service: &Service) -> Ask {
    ask(service, "GetExternalIPAddress", Vec::new())
}

/// A port outside shall lead to `want` at `client`. `any`: or another one, which
/// the second version knows.
#[must_use]
pub fn add(
    service: &Service,
    any: bool,
    external: u16,
    want: Want,
    client: IpAddr,
    lease: Duration,
    name: &str,
) -> Ask {
    let action = match any {
        true => "AddAnyPortMapping",
        false => "AddPortMapping",
    };
    let mut arguments = entry(external, want);
    arguments.extend([
        ("NewInternalPort", want.port.to_string()),
        ("NewInternalClient", client.to_string()),
        ("NewEnabled", "1".to_owned()),
        ("NewPortMappingDescription", escape(name)),
        ("NewLeaseDuration", lease.as_secs().to_string()),
    ]);
    ask(service, action, arguments)
}

/// Whether that port still leads somewhere.
#[must_use]
pub fn look(service: &Service, external: u16, want: Want) -> Ask {
    let arguments = entry(external, want);
    ask(service, "GetSpecificPortMappingEntry", arguments)
}

/// It shall not any more.
#[must_use]
pub fn delete(service: &Service, external: u16, want: Want) -> Ask {
    ask(service, "DeletePortMapping", entry(external, want))
}

fn entry(external: u16, want: Want) -> Vec<(&'static str, String)> {
    vec![
        ("NewRemoteHost", String::new()),
        ("NewExternalPort", external.to_string()),
        ("NewProtocol", want.transport.name().to_owned()),
    ]
}

impl Ask {
    /// Where it goes.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its bytes.
    #[must_use]
    pub fn request(&self) -> String {
        let (action, service) = (self.action, &self.service);
        let mut body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} xmlns:u=\"{}\">",
            escape(service)
        );
        for (name, value) in &self.arguments {
            let _ = write!(body, "<{name}>{value}</{name}>");
        }
        let _ = write!(body, "</u:{action}></s:Body></s:Envelope>\r\n");
        self.place.post(service, action, &body)
    }

    /// The value of one field of the answer; none where it has no such field.
    ///
    /// # Errors
    /// The gateway refuses, or says something else.
    pub fn answer<'a>(&self, answer: &'a Answer, field: &str) -> Result<Option<&'a str>, Fault> {
        if answer.status != 200 {
            let code = element(&answer.body, "errorCode");
            let code = code.and_then(|code| code.trim().parse().ok());
            return Err(code.map_or(Fault::Garbled, Fault::Code));
        }
        let name = format!("{}Response", self.action);
        match element(&answer.body, &name) {
            Some(inner) => Ok(element(inner, field).map(str::trim)),
            // `<u:AddPortMappingResponse/>`
            None if answer.body.contains(&name) => Ok(None),
            None => Err(Fault::Garbled),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Transport;
    use super::*;
    use proptest::prelude::*;

    fn service() -> Service {
        Service {
            kind: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
            control: Place {
                ip: [10, 0, 0, 1].into(),
                port: 5000,
                path: "/ctl".to_owned(),
            },
        }
    }

    const WANT: Want = Want {
        transport: Transport::Tcp,
        port: 41046,
    };

    fn answer(status: u16, body: &str) -> Answer {
        let body = body.to_owned();
        Answer { status, body }
    }

    #[test]
    fn a_request_is_complete_and_its_length_is_right() {
        let client = [10, 0, 0, 7].into();
        let lease = Duration::from_secs(7200);
        let asked = add(&service(), false, 443, WANT, client, lease, "<me>");
        let text = asked.request();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.contains(
            "SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\""
        ));
        for (name, value) in [
            ("NewExternalPort", "443"),
            ("NewProtocol", "TCP"),
            ("NewInternalPort", "41046"),
            ("NewInternalClient", "10.0.0.7"),
            ("NewLeaseDuration", "7200"),
            ("NewPortMappingDescription", "&lt;me&gt;"),
            ("NewRemoteHost", ""),
        ] {
            assert_eq!(element(body, name), Some(value));
        }
    }

    #[test]
    fn faults_keep_their_code_and_empty_answers_are_answers() {
        let asked = external_address(&service());
        let good = answer(200, "<s:Envelope><s:Body><u:GetExternalIPAddressResponse xmlns:u=\"x\"><NewExternalIPAddress>203.0.113.9</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>");
        assert_eq!(
            asked.answer(&good, "NewExternalIPAddress"),
            Ok(Some("203.0.113.9"))
        );
        let fault = answer(
            500,
            "<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault>",
        );
        assert_eq!(asked.answer(&fault, "x"), Err(Fault::Code(CONFLICT)));
        assert_eq!(asked.answer(&answer(404, "no"), "x"), Err(Fault::Garbled));
        assert_eq!(
            asked.answer(&answer(200, "<html/>"), "x"),
            Err(Fault::Garbled)
        );
        let gone = delete(&service(), 443, WANT);
        let empty = answer(200, "<u:DeletePortMappingResponse xmlns:u=\"x\"/>");
        assert_eq!(gone.answer(&empty, "x"), Ok(None));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(status in 100u16..600, body in ".{0,200}") {
            let asked = external_address(&service());
            let _ = asked.answer(&answer(status, &body), "NewExternalIPAddress");
        }
    }
}
