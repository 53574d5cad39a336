//! Which host names a request may call this one by.
//!
//! DNS rebinding is how a page that somebody else serves reads what listens on loopback: its own name is made to lead
//! here, and to the browser page and service are of one origin. The name gives it away, since the browser sends it in
//! `Host`. An address cannot be rebound, so that every address is taken, whichever interface it is of; so are the
//! names that never leave the host (RFC 6761, 6.3) and those that the operator gave.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hyper::header::HOST;
use hyper::{Request, Version};

/// The names that this host goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(BTreeSet<String>);

impl Known {
    pub(super) fn by(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| canonical(&name).to_ascii_lowercase()).collect())
    }

    /// Whether `request` calls this host by one of them, and by no other.
    pub(super) fn names<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next());
        // An absolute URI counts for more than the header (RFC 9112, 3.2.2); both have to be ours.
        let uri = request.uri().authority().is_none_or(|authority| self.knows(authority.as_str()));
        uri && match (host, more) {
            (Some(host), None) => host.to_str().is_ok_and(|host| self.knows(host)),
            // A browser always says whom it asks; a probe that speaks HTTP/1.0 may not.
            (None, None) => request.version() == Version::HTTP_10,
            (_, Some(_)) => false,
        }
    }

    fn knows(&self, authority: &str) -> bool {
        let Some(host) = host(authority) else { return false };
        if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
        }
        let name = canonical(host).to_ascii_lowercase();
        host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4())
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.0.contains(&name)
    }
}

/// The host of `host[:port]`; `None` where that is not what it is.
fn host(authority: &str) -> Option<&str> {
    // The colons of an IPv6 address are within its brackets.
    let end = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[end..].find(':') {
        Some(colon) => (&authority[..end + colon], &authority[end + colon + 1..]),
        None => (authority, ""),
    };
    let numeric = port.bytes().all(|b| b.is_ascii_digit());
    (numeric && !host.is_empty() && !host.contains('@')).then_some(host)
}

/// Without the dot of an absolute name.
fn canonical(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str, hosts: &[&str], version: Version) -> bool {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        Known::by(["Ops.Example.com.".to_owned()]).names(&request.body(()).unwrap())
    }

    #[test]
    fn addresses_localhost_and_the_names_that_were_given_are_known() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9953",
            "[::1]:9953",
            "[fd00::1]",
            "192.0.2.1:80",
            "localhost:9953",
            "LOCALHOST",
            "status.localhost.",
            "ops.example.com:9953",
            "OPS.example.com.",
        ] {
            assert!(asked("/", &[host], Version::HTTP_11), "{host}");
        }
    }

    #[test]
    fn another_name_is_not_however_it_is_dressed_up() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9953",
            "notlocalhost",
            "127.0.0.1@evil.example",
            "evil.example:127.0.0.1",
            "[::1].evil.example",
            "[evil.example]",
            "127.1",
            "",
            ":9953",
        ] {
            assert!(!asked("/", &[host], Version::HTTP_11), "{host}");
        }
    }

    #[test]
    fn one_name_is_said_and_only_an_old_client_says_none() {
        assert!(!asked("/", &[], Version::HTTP_11));
        assert!(asked("/", &[], Version::HTTP_10));
        assert!(!asked("/", &["127.0.0.1", "evil.example"], Version::HTTP_11));
        assert!(!asked("http://evil.example/", &["127.0.0.1"], Version::HTTP_11));
        assert!(asked("http://127.0.0.1/", &["127.0.0.1"], Version::HTTP_11));
    }
}
