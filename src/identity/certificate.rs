//! Certificates: an envelope for a public key, and no more.
//!
//! TLS wants X.509, so each identity wraps its key into a certificate that it
//! signs itself. The only thing that anybody reads in one is the public key;
//! names, dates and extensions are there so that OpenSSL, Erlang and Go take
//! the certificate for a well-formed, self-signed one that is valid today:
//!
//! ```text
//! SEQUENCE
//!   SEQUENCE                          what is signed
//!     [0] 2                           X.509 version 3
//!     INTEGER                         serial: 8 bytes of the key id
//!     ecdsa-with-SHA256
//!     CN = 0x<address>                issuer
//!     19700101000000Z, 99991231235959Z
//!     CN = 0x<address>                subject, the same
//!     id-ecPublicKey, secp256k1, 04 x y
//!     [3] subjectKeyIdentifier, authorityKeyIdentifier, basicConstraints CA
//!   ecdsa-with-SHA256
//!   BIT STRING                        signature over the first part
//! ```
//!
//! The dates are fixed because many devices have no battery-backed clock: a
//! certificate that begins "now" is not yet valid for whoever booted in 1970.
//!
//! Reading is the opposite: [`peer_key`] walks to the SubjectPublicKeyInfo by
//! lengths alone, so version 1 certificates (the Go client's) and any set of
//! extensions pass, and there is little that a stranger's bytes can reach.
//!
//! Sources: RFC 5280 (layout), RFC 5480 (elliptic curve keys), X.690 (DER).

use super::der::{
    tlv, Reader, BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_0_BYTES, CONTEXT_3, GENERALIZED_TIME,
    INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE, SET, UTC_TIME, UTF8_STRING,
};
use super::{sha256, KeyError, PublicKey, SecretKey};
use std::fmt;

/// Longest certificate that is looked at, in bytes. Ours has about 450; one
/// with a 4,096-bit RSA signature by some authority about 1,500.
pub const MAX_CERTIFICATE: usize = 8 * 1024;

/// id-ecPublicKey, 1.2.840.10045.2.1, as the contents of an OBJECT IDENTIFIER.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The named curve secp256k1, 1.3.132.0.10.
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// subjectKeyIdentifier, 2.5.29.14.
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
/// authorityKeyIdentifier, 2.5.29.35.
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
/// basicConstraints, 2.5.29.19.
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

/// Why a certificate yields no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// Longer than [`MAX_CERTIFICATE`].
    TooLong(usize),
    /// Not DER, or not laid out like a certificate; names the part.
    Malformed(&'static str),
    /// RSA, Ed25519 or anything else that is no elliptic curve.
    NotEllipticCurve,
    /// A named curve other than secp256k1.
    OtherCurve,
    /// The curve is spelled out in numbers instead of named. Such parameters
    /// would have to be compared number by number; relays refuse them.
    ExplicitCurve,
    /// The point is in the compressed or the hybrid form.
    CompressedPoint,
    /// The numbers are no point of the curve.
    NotAPoint,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(
                f,
                "certificate has {bytes} bytes; at most {MAX_CERTIFICATE} are read"
            ),
            Self::Malformed(part) => write!(f, "certificate is malformed in its {part}"),
            Self::NotEllipticCurve => {
                f.write_str("certificate key is not an elliptic curve key; use one on secp256k1")
            }
            Self::OtherCurve => {
                f.write_str("certificate key is not on secp256k1; use a key on that curve")
            }
            Self::ExplicitCurve => f.write_str(
                "certificate spells its curve out; make it name secp256k1 (named_curve)",
            ),
            Self::CompressedPoint => f.write_str(
                "certificate holds a compressed key; make it with the uncompressed form",
            ),
            Self::NotAPoint => f.write_str("certificate key is not a point of secp256k1"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl From<KeyError> for CertificateError {
    fn from(_: KeyError) -> Self {
        Self::NotAPoint
    }
}

/// The certificate of `key` in DER, about 450 bytes. The same key always makes
/// the same bytes.
#[must_use]
pub fn self_signed(key: &SecretKey) -> Vec<u8> {
    let point = key.public_key().to_uncompressed();
    envelope(
        &Contents {
            name: &key.address().to_string(),
            curve: SECP256K1,
            point: &point,
            extensions: &[&authority()],
        },
        &|signed| key.sign_der(&sha256(&[signed])),
    )
}

/// basicConstraints of one that vouches for itself.
fn authority() -> Vec<u8> {
    let yes = tlv(SEQUENCE, &[&tlv(BOOLEAN, &[&[0xff]])]);
    extension(BASIC_CONSTRAINTS, true, &yes)
}

/// What a self-signed certificate says.
pub(crate) struct Contents<'a> {
    /// Issuer and subject.
    pub name: &'a str,
    /// The named curve of the key, as the contents of an OBJECT IDENTIFIER.
    pub curve: &'a [u8],
    /// The key: an uncompressed point.
    pub point: &'a [u8],
    /// Besides the key identifiers; each made by [`extension`].
    pub extensions: &'a [&'a [u8]],
}

/// A certificate around `contents`; `sign` makes an ECDSA signature with SHA-256
/// over what it is given, in DER.
pub(crate) fn envelope(contents: &Contents<'_>, sign: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let key_id = sha256(&[contents.point]);
    let mut serial = [0; 8];
    for (to, from) in serial.iter_mut().zip(key_id) {
        *to = from;
    }
    // DER wants integers positive and without a leading zero byte.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let validity = tlv(
        SEQUENCE,
        &[
            &tlv(UTC_TIME, &[b"700101000000Z"]),
            &tlv(GENERALIZED_TIME, &[b"99991231235959Z"]),
        ],
    );
    let signed = to_be_signed(contents, &serial, &validity);
    let mut signature = vec![0];
    signature.extend_from_slice(&sign(&signed));
    tlv(
        SEQUENCE,
        &[&signed, &algorithm(), &tlv(BIT_STRING, &[&signature])],
    )
}

fn to_be_signed(contents: &Contents<'_>, serial: &[u8], validity: &[u8]) -> Vec<u8> {
    let key_id = sha256(&[contents.point]);
    let name = tlv(
        SEQUENCE,
        &[&tlv(
            SET,
            &[&tlv(
                SEQUENCE,
                &[
                    &tlv(OBJECT_ID, &[COMMON_NAME]),
                    &tlv(UTF8_STRING, &[contents.name.as_bytes()]),
                ],
            )],
        )],
    );
    let key_info = tlv(
        SEQUENCE,
        &[
            &tlv(
                SEQUENCE,
                &[
                    &tlv(OBJECT_ID, &[EC_PUBLIC_KEY]),
                    &tlv(OBJECT_ID, &[contents.curve]),
                ],
            ),
            &tlv(BIT_STRING, &[&[0], contents.point]),
        ],
    );
    let mut extensions = extension(SUBJECT_KEY_ID, false, &tlv(OCTET_STRING, &[&key_id]));
    // Equal to the subject's: OpenSSL calls a certificate self-signed by this.
    let issuer = tlv(SEQUENCE, &[&tlv(CONTEXT_0_BYTES, &[&key_id])]);
    extensions.extend_from_slice(&extension(AUTHORITY_KEY_ID, false, &issuer));
    for more in contents.extensions {
        extensions.extend_from_slice(more);
    }
    tlv(
        SEQUENCE,
        &[
            &tlv(CONTEXT_0, &[&tlv(INTEGER, &[&[2]])]),
            &tlv(INTEGER, &[serial]),
            &algorithm(),
            &name,
            validity,
            &name,
            &key_info,
            &tlv(CONTEXT_3, &[&tlv(SEQUENCE, &[&extensions])]),
        ],
    )
}

fn algorithm() -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OBJECT_ID, &[ECDSA_WITH_SHA256])])
}

/// One extension; `value` is an item of its own.
pub(crate) fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical {
        tlv(BOOLEAN, &[&[0xff]])
    } else {
        Vec::new()
    };
    tlv(
        SEQUENCE,
        &[
            &tlv(OBJECT_ID, &[id]),
            &critical,
            &tlv(OCTET_STRING, &[value]),
        ],
    )
}

/// The public key inside a certificate: X.509 version 1 or 3, any issuer, any
/// dates, any extensions; secp256k1 by name, uncompressed point.
///
/// The self-signature is *not* checked. It would prove that whoever made the
/// certificate held the key once; that the other side of the connection holds
/// it now is proven by its handshake signature, which TLS checks against this
/// very key. The check would cost a quarter of the handshake and add nothing.
/// For the same reason neither names nor dates are looked at: the identity is
/// the key.
///
/// # Errors
/// See [`CertificateError`]. No input makes it panic, and the time it takes is
/// linear in at most [`MAX_CERTIFICATE`] bytes.
pub fn peer_key(der: &[u8]) -> Result<PublicKey, CertificateError> {
    let (mut kind, bits) = key_info(der)?;
    if kind.item(OBJECT_ID, "key algorithm")? != EC_PUBLIC_KEY {
        return Err(CertificateError::NotEllipticCurve);
    }
    if kind.next_is(SEQUENCE) {
        return Err(CertificateError::ExplicitCurve);
    }
    if kind.item(OBJECT_ID, "curve")? != SECP256K1 {
        return Err(CertificateError::OtherCurve);
    }
    kind.end("curve")?;
    match bits {
        // The first byte counts unused bits; a point is whole bytes.
        [0, point @ ..] => match point {
            [0x02 | 0x03 | 0x06 | 0x07, ..] => Err(CertificateError::CompressedPoint),
            _ => Ok(PublicKey::from_uncompressed(point)?),
        },
        _ => Err(CertificateError::Malformed("public key")),
    }
}

/// The kind of key in a certificate, to be read on, and the key's bits.
///
/// # Errors
/// As [`peer_key`], as far as the layout goes.
pub(crate) fn key_info(der: &[u8]) -> Result<(Reader<'_>, &[u8]), CertificateError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(CertificateError::TooLong(der.len()));
    }
    let mut outer = Reader(der);
    let mut certificate = Reader(outer.item(SEQUENCE, "outer frame")?);
    outer.end("outer frame")?;
    let mut signed = Reader(certificate.item(SEQUENCE, "signed part")?);
    certificate.item(SEQUENCE, "signature algorithm")?;
    certificate.item(BIT_STRING, "signature")?;
    certificate.end("signature")?;

    if signed.next_is(CONTEXT_0) {
        signed.item(CONTEXT_0, "version")?;
    }
    signed.item(INTEGER, "serial number")?;
    signed.item(SEQUENCE, "signature algorithm")?;
    signed.item(SEQUENCE, "issuer")?;
    signed.item(SEQUENCE, "validity")?;
    signed.item(SEQUENCE, "subject")?;
    let mut key_info = Reader(signed.item(SEQUENCE, "public key")?);
    let kind = Reader(key_info.item(SEQUENCE, "key algorithm")?);
    let bits = key_info.item(BIT_STRING, "public key")?;
    key_info.end("public key")?;
    Ok((kind, bits))
}

#[cfg(test)]
mod tests;
