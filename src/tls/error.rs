//! What can go wrong in TLS, in words for a person.

use crate::identity::certificate::CertificateError;
use rustls::{AlertDescription, InvalidMessage};
use std::fmt;

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The other side does not speak TLS (HTTP on this port, for instance).
    NotTls,
    /// It showed no certificate.
    NoCertificate,
    /// Its certificate yields no identity.
    Certificate(CertificateError),
    /// It does not hold the key of its certificate.
    BadSignature,
    /// No way to meet; says what was missing.
    NothingInCommon(String),
    /// It ended the connection with this alert.
    Refused(AlertDescription),
    /// Records that nobody sealed for us: forged, damaged, or out of order.
    Tampered,
    /// More handshake bytes than are kept (36,874) without a whole message.
    TooLong,
    /// The keys of a TLS 1.2 connection are used up (2^24 records with AES):
    /// it was closed in good order, a new one has to be made.
    Exhausted,
    /// Data was to be sent before the handshake was done.
    NotReady,
    /// Data was to be sent after our own close.
    Closed,
    /// Anything else, as rustls says it.
    Protocol(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("the other side does not speak TLS: check host and port"),
            Self::NoCertificate => f.write_str("the other side showed no certificate"),
            Self::Certificate(error) => write!(f, "the other side's {error}"),
            Self::BadSignature => {
                f.write_str("the other side does not hold the key of its certificate")
            }
            Self::NothingInCommon(what) => {
                write!(f, "the other side speaks TLS in no way that we do: {what}")
            }
            Self::Refused(alert) => {
                write!(f, "the other side refused: ")?;
                match *alert {
                    AlertDescription::HandshakeFailure
                    | AlertDescription::InsufficientSecurity
                    | AlertDescription::ProtocolVersion => {
                        write!(f, "no version, curve or suite in common")
                    }
                    AlertDescription::CertificateRequired => write!(f, "it wants a certificate"),
                    AlertDescription::NoApplicationProtocol => {
                        write!(f, "it serves another protocol on this port")
                    }
                    AlertDescription::BadCertificate
                    | AlertDescription::UnsupportedCertificate
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::CertificateExpired
                    | AlertDescription::UnknownCA => {
                        write!(f, "it does not accept our certificate")
                    }
                    _ => write!(f, "alert"),
                }?;
                write!(f, " ({alert:?})")
            }
            Self::Tampered => f.write_str("received bytes that the other side did not seal"),
            Self::TooLong => f.write_str("the other side sent a handshake that is too long"),
            Self::Exhausted => f.write_str(
                "the keys of this TLS 1.2 connection are used up and it was closed: connect again",
            ),
            Self::NotReady => f.write_str("the TLS handshake is not done"),
            Self::Closed => f.write_str("this side has closed the connection"),
            Self::Protocol(what) => write!(f, "TLS failed: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        use rustls::CertificateError as Certificate;
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(Certificate::BadSignature) => Self::BadSignature,
            Error::InvalidCertificate(Certificate::Other(ref other)) => {
                other.0.downcast_ref().map_or_else(
                    || Self::Protocol(error.to_string()),
                    |e| Self::Certificate(*e),
                )
            }
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => Self::TooLong,
            Error::PeerIncompatible(what) => Self::NothingInCommon(format!("{what:?}")),
            Error::NoApplicationProtocol => {
                Self::NothingInCommon("no application protocol (ALPN) in common".to_owned())
            }
            Error::AlertReceived(alert) => Self::Refused(alert),
            Error::DecryptError => Self::Tampered,
            other => Self::Protocol(other.to_string()),
        }
    }
}
