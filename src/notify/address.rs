//! The address of a webhook: whoever knows it may post, so it is a secret as a whole.

use std::fmt;

use url::Url;

use crate::provider::http::allows_plain_http;

/// An address that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// The text is no address to post to. Says what is wrong, never the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("it is not a URL: {0}")]
    NotUrl(String),
    /// Neither https nor loopback.
    #[error("it is not an https URL; plain http is for loopback addresses only")]
    Plain,
}

impl Address {
    /// Parses an address: https, or http on loopback.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(|error| AddressError::NotUrl(error.to_string()))?;
        let link_local = matches!(url.host(), Some(url::Host::Ipv4(ip)) if ip.is_link_local());
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if allows_plain_http(&url) && !link_local => Ok(Self(url)),
            _ => Err(AddressError::Plain),
        }
    }

    /// The address itself, for sending alone.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The address with one more step of the path; a query stays.
    pub(super) fn below(&self, step: &str) -> Self {
        let mut url = self.0.clone();
        let path = format!("{}/{step}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self(url)
    }

    /// Whether `text` gives away any part of the address.
    pub(super) fn shows_in(&self, text: &str) -> bool {
        let parts = self.0.path().split('/').chain(self.0.query());
        parts.filter(|part| part.len() > 3).any(|part| text.contains(part))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_loopback_and_never_told() {
        for text in ["https://hooks.example.com/CANARY", "http://127.0.0.1:9/CANARY", "http://[::1]/CANARY\n"]
        {
            let address = Address::parse(text).unwrap();
            assert!(!format!("{address:?}").contains("CANARY"));
        }
        for text in [
            "http://hooks.example.com/CANARY",
            "http://169.254.169.254/CANARY",
            "CANARY",
            "ftp://h/CANARY",
            "",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("CANARY"), "{text}");
        }
    }

    #[test]
    fn what_gives_an_address_away_is_seen() {
        let address = Address::parse("https://hooks.example.com/services/abcdefgh?sig=xyzxyz").unwrap();
        for text in ["no such path services", "Cannot POST abcdefgh", "sig=xyzxyz"] {
            assert!(address.shows_in(text), "{text}");
        }
        assert!(!address.shows_in("no_service"));
    }

    #[test]
    fn a_step_goes_before_the_query() {
        let below = |text: &str| Address::parse(text).unwrap().below("start").0.to_string();
        assert_eq!(
            below("https://hc-ping.com/key/slug?create=1"),
            "https://hc-ping.com/key/slug/start?create=1"
        );
        assert_eq!(below("https://hc-ping.com/uuid/"), "https://hc-ping.com/uuid/start");
    }
}
