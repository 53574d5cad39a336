//! Microsoft Entra's token endpoint, for the client-credentials grant (RFC 6749, 4.4).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use url::form_urlencoded;
use uuid::Uuid;

use super::log_analytics;
use super::seed::{READER, READER_SECRET, TENANT, WRITER, WRITER_SECRET};
use crate::sandbox::clock::Clock;
use crate::sandbox::exchange::{Request, Response};
use crate::sandbox::world::{World, timestamp};

/// A service principal and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) client_id: String,
    pub(crate) secret: String,
    pub(crate) object_id: String,
    /// Actions such as `Microsoft.Network/dnszones/*/read` with the scope that they are granted at.
    pub(crate) grants: Vec<(String, String)>,
}

impl Principal {
    /// Whether a role assignment covers `action` at `scope`. `*` stands for any text; case does not matter.
    pub(crate) fn may(&self, action: &str, scope: &str) -> bool {
        self.grants.iter().any(|(pattern, at)| {
            Self::covers(at, scope) && glob(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
        })
    }

    /// Whether what is granted `at` a scope is granted at `scope` too: there and below.
    pub(crate) fn covers(at: &str, scope: &str) -> bool {
        let (at, scope) = (at.to_ascii_lowercase(), scope.to_ascii_lowercase());
        at == "/" || scope.strip_prefix(&at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// What Entra knows.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) principals: Vec<Principal>,
    tokens: HashMap<String, Token>,
}

#[derive(Clone, Debug)]
struct Token {
    client_id: String,
    audience: String,
    expires: Instant,
}

/// What a bearer token is worth.
pub(crate) enum Bearer {
    /// A principal's, and still good.
    Good(Principal),
    /// It was good once.
    Expired,
    /// Nobody issued it.
    Unknown,
}

impl Directory {
    pub(crate) fn seeded() -> Self {
        let principal = |client_id: &str, secret: &str, object_id: &str, action: &str| Principal {
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            object_id: object_id.to_owned(),
            grants: vec![(action.to_owned(), "/".to_owned())],
        };
        Self {
            principals: vec![
                principal(WRITER, WRITER_SECRET, "0b1ec700-0000-4000-8000-000000000001", "*"),
                principal(READER, READER_SECRET, "0b1ec700-0000-4000-8000-000000000002", "*/read"),
            ],
            tokens: HashMap::new(),
        }
    }

    /// A fresh token for `principal`, which lasts for so much of the client's time and says so by its calendar.
    pub(crate) fn issue(
        &mut self,
        principal: &Principal,
        audience: &str,
        clock: Clock,
        lifetime: Duration,
    ) -> String {
        let issued = OffsetDateTime::now_utc().unix_timestamp();
        let claims = json!({
            "aud": audience,
            "iss": format!("https://sts.windows.net/{TENANT}/"),
            "iat": issued,
            "nbf": issued,
            "exp": issued + i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX - issued),
            "appid": principal.client_id,
            "idtyp": "app",
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": TENANT,
            "uti": Uuid::new_v4().simple().to_string(),
            "ver": "1.0",
        });
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": "sandbox"});
        let signature = Uuid::new_v4();
        let token = format!(
            "{}.{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes()),
            base64url(signature.as_bytes())
        );
        let (client_id, audience) = (principal.client_id.clone(), audience.to_owned());
        self.tokens.insert(
            token.clone(),
            Token { client_id, audience, expires: clock.now() + clock.inside(lifetime) },
        );
        token
    }

    /// Whose token this is.
    pub(crate) fn bearer(&self, token: &str, now: Instant) -> Bearer {
        let Some(known) = self.tokens.get(token) else { return Bearer::Unknown };
        if known.expires <= now {
            return Bearer::Expired;
        }
        self.principal(&known.client_id).map_or(Bearer::Unknown, |principal| Bearer::Good(principal.clone()))
    }

    /// What a token was issued for.
    pub(crate) fn audience(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).map(|known| known.audience.as_str())
    }

    pub(crate) fn principal(&self, client_id: &str) -> Option<&Principal> {
        self.principals.iter().find(|p| p.client_id.eq_ignore_ascii_case(client_id))
    }

    /// Ends every token now.
    pub(crate) fn expire_tokens(&mut self, now: Instant) {
        for token in self.tokens.values_mut() {
            token.expires = token.expires.min(now);
        }
    }
}

/// Answers one request to the authority.
pub(crate) fn handle(world: &mut World, request: &Request) -> Response {
    let route: Vec<String> = request.segments.iter().map(|s| s.to_ascii_lowercase()).collect();
    let route: Vec<&str> = route.iter().map(String::as_str).collect();
    match (request.method.as_str(), route.as_slice()) {
        ("GET", ["common", "discovery", "instance"]) => instance(world, request),
        ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"])
        | ("GET", [tenant, ".well-known", "openid-configuration"]) => configuration(world, tenant),
        ("POST", [tenant, "oauth2", "v2.0", "token"]) => token(world, tenant, request),
        _ => Response::empty(404),
    }
}

fn instance(world: &World, request: &Request) -> Response {
    let authority = &world.addresses.authority;
    let host = request.header("host").unwrap_or_default();
    Response::json(
        200,
        json!({
            "tenant_discovery_endpoint": format!("{authority}/{TENANT}/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        }),
    )
}

fn configuration(world: &World, tenant: &str) -> Response {
    if !is_tenant(tenant) {
        return unknown_tenant(tenant);
    }
    let authority = &world.addresses.authority;
    Response::json(
        200,
        json!({
            "token_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{authority}/{tenant}/discovery/v2.0/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{authority}/{TENANT}/v2.0"),
            "authorization_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/logout"),
            "tenant_region_scope": "EU",
        }),
    )
}

fn token(world: &mut World, tenant: &str, request: &Request) -> Response {
    if !is_tenant(tenant) {
        return unknown_tenant(tenant);
    }
    let form: HashMap<String, String> = form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if field("grant_type") != "client_credentials" {
        let text = "The app requested an unsupported grant type.";
        return refusal(400, "unsupported_grant_type", 70003, text);
    }
    let client_id = field("client_id");
    if client_id.is_empty() {
        let text = "The request body must contain the following parameter: 'client_id'.";
        return refusal(400, "invalid_request", 900_144, text);
    }
    let Some(principal) = world.azure.directory.principal(client_id).cloned() else {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory 'sandbox'. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You may have sent your authentication request to the wrong tenant."
        );
        return refusal(400, "unauthorized_client", 700_016, &text);
    };
    if field("client_secret").is_empty() {
        let text =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return refusal(401, "invalid_client", 7_000_218, text);
    }
    if field("client_secret") != principal.secret {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client_id}'."
        );
        return refusal(401, "invalid_client", 7_000_215, &text);
    }
    let scope = field("scope");
    let Some(audience) = scope.split(' ').find_map(|s| s.strip_suffix("/.default")) else {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
        );
        return refusal(400, "invalid_scope", 1_002_012, &text);
    };
    let addresses = &world.addresses;
    let known = [&addresses.resource_manager, &addresses.authority].map(String::as_str);
    let bare = audience.trim_end_matches('/');
    if !known.contains(&bare) && !AUDIENCES.contains(&bare) {
        let text =
            format!("The resource principal named {audience} was not found in the tenant named sandbox.");
        return refusal(400, "invalid_resource", 500_011, &text);
    }
    let (clock, lifetime) = (world.clock, world.options.token_lifetime);
    let access_token = world.azure.directory.issue(&principal, audience, clock, lifetime);
    Response::json(
        200,
        json!({
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "ext_expires_in": lifetime.as_secs(),
            "access_token": access_token,
        }),
    )
    .with("cache-control", "no-store, no-cache")
}

/// The names of the only tenant; `organizations` and the like name no tenant that a principal could live in.
/// `adfs` is what clients are told to say when they shall not ask Microsoft's own discovery first.
fn is_tenant(tenant: &str) -> bool {
    [TENANT, "sandbox.onmicrosoft.com", "adfs"].iter().any(|known| tenant.eq_ignore_ascii_case(known))
}

fn unknown_tenant(tenant: &str) -> Response {
    let text = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
         correct cloud. Check with your subscription administrator, this may happen if there are no active \
         subscriptions for the tenant."
    );
    refusal(400, "invalid_request", 90002, &text)
}

/// An error as Entra writes it: the code is in the text, and again in `error_codes`.
fn refusal(status: u16, error: &str, code: u32, text: &str) -> Response {
    let (trace, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let at = timestamp(OffsetDateTime::now_utc()).replace('T', " ");
    let body: Value = json!({
        "error": error,
        "error_description":
            format!("AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"),
        "error_codes": [code],
        "timestamp": at,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    Response::json(status, body).with("cache-control", "no-store, no-cache")
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
}

fn base64url(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, octet| word << 8 | u32::from(*octet)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = (word >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

// RFC 4648, 5, without padding as RFC 7515 wants it.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const AUDIENCES: [&str; 3] =
    ["https://management.azure.com", "https://management.core.windows.net", log_analytics::AUDIENCE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_follows_the_test_vectors_of_rfc_4648() {
        let vectors =
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")];
        for (octets, text) in vectors {
            assert_eq!(base64url(octets.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn a_grant_covers_its_scope_and_what_is_below() {
        let principal = Principal {
            client_id: String::new(),
            secret: String::new(),
            object_id: String::new(),
            grants: vec![(
                "Microsoft.Network/dnszones/*/read".into(),
                "/subscriptions/s/resourceGroups/rg".into(),
            )],
        };
        assert!(
            principal.may("microsoft.network/dnsZones/CNAME/read", "/subscriptions/s/resourcegroups/RG/x")
        );
        assert!(
            !principal.may("Microsoft.Network/dnszones/CNAME/write", "/subscriptions/s/resourceGroups/rg/x")
        );
        assert!(
            !principal.may("Microsoft.Network/dnszones/CNAME/read", "/subscriptions/s/resourceGroups/rg2/x")
        );
    }
}
