//! Whose a token is, by its own words. Not one of them is believed for anything but a diagnosis: Azure alone decides.

use azure_core::base64::decode_url_safe;
use azure_core::time::OffsetDateTime;
use serde_json::Value;

/// What a token says of itself (RFC 7519; Microsoft's "Access token claims reference").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// `tid`.
    pub(super) tenant: Option<String>,
    /// `appid`, or `azp` in tokens of version 2.
    pub(super) client_id: Option<String>,
    /// `upn` or `preferred_username`: a person.
    pub(super) person: Option<String>,
    /// `exp`.
    pub(super) expires: Option<OffsetDateTime>,
}

impl Claims {
    /// What `token` says, as far as it is one that can be read: the format is Entra's own affair.
    pub(super) fn of(token: &str) -> Self {
        let mut parts = token.trim().split('.');
        let body = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(_), Some(body), Some(_), None) => decode_url_safe(body.trim_end_matches('=')).ok(),
            _ => None,
        };
        let Some(body) = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) else {
            return Self::default();
        };
        // Shown to people: what is no plain word is left out.
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| body.get(name)?.as_str());
            let plain =
                |text: &&str| text.len() <= LONGEST && !text.chars().any(|c| c.is_control() || c == ' ');
            found.filter(plain).map(str::to_owned)
        };
        Self {
            tenant: text(&["tid"]),
            client_id: text(&["appid", "azp"]),
            person: text(&["upn", "preferred_username"]),
            expires: body
                .get("exp")
                .and_then(Value::as_i64)
                .and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok()),
        }
    }

    /// Whose it is, in one line; nothing where it does not say.
    pub(super) fn who(&self) -> String {
        let mut who = Vec::new();
        who.extend(self.person.as_ref().map(|person| person.to_owned()));
        who.extend(self.client_id.as_ref().map(|id| format!("application {id}")));
        who.extend(self.tenant.as_ref().map(|tenant| format!("tenant {tenant}")));
        who.join(", ")
    }
}

/// Longer than any address or id.
const LONGEST: usize = 320;

#[cfg(test)]
mod tests {
    use azure_core::base64::encode_url_safe;

    use super::*;

    #[test]
    fn a_token_is_read_as_far_as_it_is_one() {
        let token = |body: &str| format!("e30.{}.c2ln", encode_url_safe(body).trim_end_matches('='));
        let claims = Claims::of(&token(r#"{"tid":"t-1","appid":"a-1","exp":1700000000}"#));
        assert_eq!(claims.who(), "application a-1, tenant t-1");
        assert_eq!(claims.expires.map(OffsetDateTime::unix_timestamp), Some(1_700_000_000));
        let person = Claims::of(&token(r#"{"azp":"a-2","upn":"ops@example.com"}"#));
        assert_eq!(person.who(), "ops@example.com, application a-2");
        for odd in
            ["", "opaque", "a.b.c", "e30.!!.x", &token(r#"{"tid":7,"upn":"a\u001b[2Jb","exp":"soon"}"#)]
        {
            assert_eq!(Claims::of(odd), Claims::default(), "{odd}");
        }
    }
}
