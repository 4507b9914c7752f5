//! Places of HTTP as settings name them.

use super::{host, masked, shown};
use std::fmt;
use std::path::PathBuf;

/// Longest URL: keys of providers have 32 to 100 characters.
const MAX_URL: usize = 1024;

/// What a build without the feature `chain-https` says to settings that need it.
pub const NEEDS_CHAIN_HTTPS: &str = "this build speaks no https to a chain: name the http:// URL of a node or proxy of your own, or build with --features chain-https";

/// `http://HOST[:PORT][/PATH]` or `https://…`.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Over TLS.
    pub https: bool,
    /// Name or IP address in lower case, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Begins with `/`, and has the query. Providers put their customers' keys
    /// there.
    pub path: String,
}

impl HttpUrl {
    fn place(&self) -> String {
        let (scheme, usual) = match self.https {
            true => ("https", 443),
            false => ("http", 80),
        };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        if self.port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }
}

/// In full.
impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place(), self.path)
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.to_string()))
    }
}

/// A URL of HTTP; empty or `off` for none.
///
/// # Errors
/// A phrase that says what is wrong; it does not repeat what may be secret.
pub fn http_url(text: &str) -> Result<Option<HttpUrl>, String> {
    let text = text.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    if text.len() > MAX_URL {
        return Err(format!("it has more than {MAX_URL} characters"));
    }
    let lower = text.to_ascii_lowercase();
    let (https, rest) = if lower.starts_with("https://") {
        (true, text.get(8..))
    } else if lower.starts_with("http://") {
        (false, text.get(7..))
    } else if lower.starts_with("ws://") || lower.starts_with("wss://") {
        return Err("WebSocket is not spoken here: name the provider's HTTP URL".to_owned());
    } else {
        return Err("it does not begin with http:// or https://".to_owned());
    };
    let rest = rest.unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err("its path has characters that a URL cannot have".to_owned());
    }
    if authority.contains('@') {
        return Err("user names and passwords are not sent: use a key in the path".to_owned());
    }
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !authority.ends_with(']') => {
            let port = port.parse::<u16>().ok().filter(|port| *port != 0);
            (name, port.ok_or("the port is a number from 1 to 65535")?)
        }
        _ => (authority, if https { 443 } else { 80 }),
    };
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    if bare.is_none() && name.contains(':') {
        return Err("an IPv6 address stands in brackets".to_owned());
    }
    let host = host(bare.unwrap_or(name)).map_err(|why| format!("\"{}\": {why}", shown(name)))?;
    let path = match path.strip_prefix('?') {
        Some(query) => format!("/?{query}"),
        None if path.is_empty() => "/".to_owned(),
        None => path.to_owned(),
    };
    if https && !cfg!(feature = "chain-https") {
        return Err(NEEDS_CHAIN_HTTPS.to_owned());
    }
    Ok(Some(HttpUrl {
        https,
        host,
        port,
        path,
    }))
}

/// The file with the certificates of authorities for an https URL; empty for none.
///
/// # Errors
/// [`NEEDS_CHAIN_HTTPS`], where it would do nothing.
pub fn authorities(text: &str) -> Result<Option<PathBuf>, String> {
    if !text.is_empty() && !cfg!(feature = "chain-https") {
        return Err(NEEDS_CHAIN_HTTPS.to_owned());
    }
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_people_paste_is_understood_and_shown_without_the_key() {
        for (text, full, told) in [
            (
                "http://127.0.0.1:8545",
                "http://127.0.0.1:8545/",
                "http://127.0.0.1:8545",
            ),
            (
                " HTTP://Rpc.Example/v2/KeY?a=1 ",
                "http://rpc.example/v2/KeY?a=1",
                "http://rpc.example…",
            ),
            ("http://[::1]:80/", "http://[::1]/", "http://[::1]"),
            #[cfg(feature = "chain-https")]
            (
                " HTTPS://Rpc.Example/v2/KeY?a=1 ",
                "https://rpc.example/v2/KeY?a=1",
                "https://rpc.example…",
            ),
            #[cfg(feature = "chain-https")]
            ("https://a.b:443?x", "https://a.b/?x", "https://a.b…"),
        ] {
            let url = http_url(text).unwrap().unwrap();
            assert_eq!(url.to_string(), full);
            assert_eq!(format!("{url:?}"), told);
            assert_eq!(http_url(full).unwrap().unwrap(), url);
        }
        assert_eq!(http_url("off").unwrap(), None);
        assert_eq!(http_url("").unwrap(), None);
    }

    #[test]
    fn a_url_that_cannot_be_is_refused_in_words() {
        let long = format!("http://a/{}", "x".repeat(2000));
        for (text, wanted) in [
            ("127.0.0.1:8545", "http://"),
            ("wss://a.b/ws", "WebSocket"),
            #[cfg(not(feature = "chain-https"))]
            ("https://a.b/", "--features chain-https"),
            ("http://user:pass@a.b/", "passwords"),
            ("http://a.b:0/", "port"),
            ("http://a.b:99999/", "port"),
            ("http://::1/", "brackets"),
            ("http:///x", "host name"),
            ("http://a b/", "host name"),
            ("http://a.b/x y", "path"),
            ("http://a.b/x\r\nHost: c", "path"),
            (&long, "more than"),
        ] {
            let error = http_url(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
