//! Servers and URLs, as a person writes them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

use super::defaults::{DNS_PORT, RESOLVER, SOCKS_PORT};
use crate::model::name::Fqdn;

/// An authoritative server: an address or a name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameServer {
    /// Where it is.
    pub host: NameServerHost,
    /// Its port.
    pub port: u16,
}

/// A server's address, or the name that leads to its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NameServerHost {
    /// An address.
    Address(IpAddr),
    /// A name.
    Name(Fqdn),
}

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(address) = socket_address(text) {
            return Ok(Self { host: NameServerHost::Address(address.ip()), port: address.port() });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
            None => (text, Some(DNS_PORT)),
        };
        let port = port.ok_or_else(|| format!("\"{text}\" has no usable port after the colon"))?;
        let name = Fqdn::parse(host).map_err(|error| error.to_string())?;
        if name.labels().next_back().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit())) {
            return Err(format!("\"{text}\" is neither an address nor a name"));
        }
        Ok(Self { host: NameServerHost::Name(name), port })
    }
}

/// `address:port`; a name alone where the port is the usual one.
impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            NameServerHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            NameServerHost::Name(name) if self.port == DNS_PORT => name.fmt(f),
            NameServerHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// A recursive resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ResolverConfig {
    /// Those that the system is configured with.
    System,
    /// This one.
    Address(SocketAddr),
}

impl FromStr for ResolverConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            RESOLVER => Ok(Self::System),
            _ => socket_address(text)
                .map(Self::Address)
                .ok_or_else(|| format!("\"{text}\" is not the address of a resolver")),
        }
    }
}

impl fmt::Display for ResolverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str(RESOLVER),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A SOCKS5 proxy without authentication (RFC 1928).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocksProxy {
    /// Where it is.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

impl SocksProxy {
    /// `host:port`, with an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for SocksProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Said without the text, which may hold a password.
        if text.contains('@') {
            return Err("the proxy carries a user name or a password".into());
        }
        let authority = match text.split_once("://") {
            Some((SOCKS, rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err("the proxy is not a SOCKS5 proxy".into()),
            None => return Err("the proxy does not say its kind".into()),
        };
        let (host, port) = match authority.rsplit_once(':') {
            // The last group of an IPv6 address is not a port.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)),
            _ => (authority, Some(SOCKS_PORT)),
        };
        let port = port.ok_or("the proxy has no usable port after the colon")?;
        let host = Host::parse(host).map_err(|error| format!("the proxy has no usable host: {error}"))?;
        Ok(Self { host, port })
    }
}

/// As the file writes it.
impl fmt::Display for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SOCKS}://{}:{}", self.host, self.port)
    }
}

/// Parses the name of a host as a browser would, into its canonical form.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    match Host::parse(text.strip_suffix('.').unwrap_or(text)) {
        Ok(Host::Domain(name)) => Ok(name),
        _ => Err(format!("\"{text}\" is not the name of a host")),
    }
}

/// Parses the base URL of a service: https, or http on a loopback address, where nobody can listen in.
pub(super) fn service_url(text: &str) -> Result<Url, String> {
    // Said without the text, which may hold a password or a key.
    if text.contains('@') {
        return Err("the URL carries a user name or a password".into());
    }
    if text.contains(['?', '#']) {
        return Err("the URL has a query or a fragment, and a base URL has neither".into());
    }
    let mut url = Url::parse(text).map_err(|error| format!("\"{text}\" is not a URL: {error}"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(format!("\"{text}\" would send a token in the clear")),
        _ => return Err(format!("\"{text}\" is not an https URL")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn socket_address(text: &str) -> Option<SocketAddr> {
    let address = match text.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, DNS_PORT),
        Err(_) => text.parse().ok()?,
    };
    (address.port() != 0).then_some(address)
}

const SOCKS: &str = "socks5";
