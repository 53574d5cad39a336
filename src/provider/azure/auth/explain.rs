//! Why there is no token, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use super::Way;
use crate::provider::Kind;
use crate::provider::http::Failure;

/// There is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::provider::azure) struct TokenError {
    kind: Kind,
    what: String,
    remedy: Option<String>,
}

impl TokenError {
    /// What the identity library says of `way`, without its trimmings.
    pub(super) fn of(way: Way, error: &azure_core::Error) -> Self {
        let failure = causes(error).find_map(|cause| cause.downcast_ref::<Failure>());
        if let Some(Failure::Throttled { delay, .. }) = failure {
            let what = format!("{way}: the login service is throttled");
            return Self { kind: Kind::Throttled(*delay), what, remedy: None };
        }
        let mut text = plain(&error.to_string());
        // The library's own wrapping says nothing.
        if text.starts_with("non-transport error")
            && let Some(cause) = causes(error).last()
        {
            text = plain(&cause.to_string());
        }
        // It is there, and has a fault of its own.
        if way == Way::ManagedIdentity && text.contains("metadata service answered 5") {
            let remedy = "run again; if it stays so, look at the machine's health in Azure".to_owned();
            return Self { kind: Kind::Unreachable, what: format!("{way}: {text}"), remedy: Some(remedy) };
        }
        if way == Way::ManagedIdentity && (failure.is_some() || text.contains("metadata service answered")) {
            return Self {
                kind: Kind::Denied,
                what: format!("{way}: {text}"),
                remedy: Some(NO_IDENTITY.to_owned()),
            };
        }
        if let Some(failure) = failure {
            let mut what = format!("{way}: {}", plain(&failure.to_string()));
            for cause in causes(failure).skip(1) {
                what.push_str(": ");
                what.push_str(&cause.to_string());
            }
            let remedy =
                "check the way to the login service: DNS, proxy, firewall, and tls.extra_ca".to_owned();
            return Self { kind: Kind::Unreachable, what, remedy: Some(remedy) };
        }
        let remedy = RULES.iter().find(|(sign, _)| text.contains(sign)).map_or(ANY, |(_, remedy)| remedy);
        Self { kind: Kind::Denied, what: format!("{way}: {text}"), remedy: Some(remedy.to_owned()) }
    }

    /// `way` cannot be tried.
    pub(super) fn unusable(way: Way, why: &str) -> Self {
        let text = plain(why);
        let remedy = RULES.iter().find(|(sign, _)| text.contains(sign)).map_or(ANY, |(_, remedy)| remedy);
        Self { kind: Kind::Denied, what: format!("{way}: {text}"), remedy: Some(remedy.to_owned()) }
    }

    /// No way of several led to a token.
    pub(super) fn of_all(mut errors: Vec<Self>) -> Self {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        // One that could not be asked may yet answer; the round is then not the credential's fault.
        let kind = errors.iter().map(|error| error.kind).find(|kind| *kind != Kind::Denied);
        let what: Vec<_> = errors.into_iter().map(|error| error.what).collect();
        Self {
            kind: kind.unwrap_or(Kind::Denied),
            what: format!("no credential gave a token ({})", what.join("; ")),
            remedy: Some("set azure.credential to the one that is meant, then see what it lacks".into()),
        }
    }

    /// The token has characters that no token has.
    pub(super) fn unprintable() -> Self {
        Self {
            kind: Kind::Denied,
            what: "the token has characters that a header cannot carry".into(),
            remedy: Some("check what the token is read from: one line of printable characters".into()),
        }
    }

    pub(in crate::provider::azure) fn kind(&self) -> Kind {
        self.kind
    }

    pub(in crate::provider::azure) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for TokenError {}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientSecret => "client-secret",
            Self::ClientCertificate => "client-certificate",
            Self::ManagedIdentity => "managed-identity",
            Self::WorkloadIdentity => "workload-identity",
            Self::AzureCli => "azure-cli",
            Self::Token => "token",
        })
    }
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| (**error).source())
}

/// The library's text on one line, without its preamble, its link, and Entra ID's trace.
fn plain(text: &str) -> String {
    let text = text.split("\nTo troubleshoot").next().unwrap_or(text);
    let text = text.split_once("authentication failed.").map_or(text, |(_, rest)| rest);
    let text = text.split(" Trace ID:").next().unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.trim_end_matches('.').to_owned()
}

/// What to do about what Entra ID, the metadata service, the CLI or the environment says.
#[rustfmt::skip]
const RULES: &[(&str, &str)] = &[
    ("AADSTS7000215", "the client secret is wrong: use the secret's value, not its id, and make a new one if in doubt"),
    ("AADSTS7000222", "the client secret has expired: make a new one for the application"),
    ("AADSTS900023", "the tenant is neither a UUID nor a domain: check tenant"),
    ("AADSTS90002", "the tenant does not exist in this cloud: check tenant and cloud"),
    ("AADSTS700016", "the application is not known in this tenant: check client_id and tenant"),
    ("AADSTS7000112", "the application is disabled: enable it in the tenant"),
    ("AADSTS7000229", "the application has no service principal in this tenant: make one"),
    ("AADSTS70021", "no federated credential matches: check its issuer, subject and audience against the token"),
    ("AADSTS700211", "no federated credential matches: check its issuer, subject and audience against the token"),
    ("AADSTS700213", "no federated credential matches: check its issuer, subject and audience against the token"),
    ("AADSTS700024", "the federated token has expired: check the clock, and that the token file is renewed"),
    ("AADSTS500011", "the audience is not known in this tenant: check the cloud and the audience"),
    ("AADSTS1002012", "the audience is not one that a token can be had for: check azure.audience"),
    ("AADSTS53003", "a conditional access policy blocks it: exclude this identity or its network"),
    ("AADSTS700027", "the certificate is not one of the application's: upload its public part, and check that it has not expired"),
    ("no certificate in PEM form", "put the certificate and its private key into the file, both in PEM form"),
    ("no private key in PEM form", "put the certificate and its private key into the file, both in PEM form"),
    ("an encrypted private key", "decrypt it: openssl pkcs8 -in KEY -out PLAIN; then keep the file readable for its user alone"),
    ("private key is not an RSA key", "make a certificate with an RSA key of 2048 bits or more"),
    ("identity has not been assigned", "assign the identity to this machine, or correct client_id"),
    ("Multiple user assigned identities", "several identities are assigned: set client_id"),
    ("managed identity isn't supported", "use credential = \"client-secret\" or \"workload-identity\"; on Azure Arc, \"azure-cli\" or \"token\""),
    ("no tenant ID specified", "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE, as the workload identity webhook does for a labelled pod"),
    ("no client id specified", "set AZURE_CLIENT_ID, as the workload identity webhook does for an annotated service account"),
    ("no token file specified", "set AZURE_FEDERATED_TOKEN_FILE, as the workload identity webhook does for a labelled pod"),
    ("failed to read federated token", "check that AZURE_FEDERATED_TOKEN_FILE names a file that can be read"),
    ("az not found on PATH", "install the Azure CLI, or choose another credential"),
    ("az login", "sign in: az login"),
    ("doesn't use HTTPS", "give the authority an https address; plain http is refused even on loopback"),
    ("invalid tenant ID", "check tenant: a UUID or a domain"),
    ("no client ID specified", "set client_id"),
    ("no secret specified", "the client secret is empty: check what it is read from"),
];

const NO_IDENTITY: &str = "there is no managed identity here: run on an Azure machine with one assigned, or choose another credential";
const ANY: &str = "check the credential's settings";

#[cfg(test)]
mod tests {
    use azure_core::error::ErrorKind;

    use super::*;

    fn said(text: &str) -> TokenError {
        let inner = azure_core::Error::with_message(ErrorKind::Other, text.to_owned());
        let text = format!(
            "ClientSecretCredential authentication failed. {text}\nTo troubleshoot, visit https://aka.ms/x"
        );
        TokenError::of(Way::ClientSecret, &azure_core::Error::with_error(ErrorKind::Credential, inner, text))
    }

    #[test]
    fn what_entra_says_is_kept_and_explained() {
        let error = said(
            "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is right. Trace ID: 1 Correlation ID: 2 Timestamp: 3",
        );
        assert_eq!(error.kind(), Kind::Denied);
        assert_eq!(
            error.to_string(),
            "client-secret: AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is right"
        );
        assert!(error.remedy().unwrap().contains("not its id"));
        assert!(said("AADSTS90002: Tenant 'x' not found.").remedy().unwrap().contains("tenant"));
        assert!(said("AADSTS7000222: expired").remedy().unwrap().contains("expired"));
    }

    #[test]
    fn every_explained_sign_is_distinct() {
        for (index, (sign, remedy)) in RULES.iter().enumerate() {
            assert!(!remedy.ends_with('.'), "{sign}");
            let earlier = RULES[..index].iter().find(|(other, _)| sign.contains(other));
            assert!(earlier.is_none_or(|(_, same)| same == remedy), "{sign} is hidden by {earlier:?}");
        }
    }

    #[test]
    fn an_unreachable_login_service_is_not_a_wrong_credential() {
        let failure = Failure::NotDone { what: "could not connect".into(), source: None };
        let inner = azure_core::Error::new(ErrorKind::Other, failure);
        let error = azure_core::Error::with_error(ErrorKind::Credential, inner, "failed");
        assert_eq!(TokenError::of(Way::ClientSecret, &error).kind(), Kind::Unreachable);
        let managed = TokenError::of(Way::ManagedIdentity, &error);
        assert_eq!(managed.kind(), Kind::Denied);
        assert!(managed.remedy().unwrap().contains("no managed identity here"));
    }

    #[test]
    fn a_metadata_service_that_fails_is_there() {
        for (status, kind, word) in
            [(500, Kind::Unreachable, "run again"), (404, Kind::Denied, "no managed identity here")]
        {
            let text = format!("the instance metadata service answered {status}");
            let inner = azure_core::Error::with_message(ErrorKind::Other, text);
            let error = azure_core::Error::with_error(ErrorKind::Credential, inner, "non-transport error");
            let error = TokenError::of(Way::ManagedIdentity, &error);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.remedy().unwrap().contains(word), "{error}");
        }
    }

    #[test]
    fn a_chain_without_a_token_tells_every_link() {
        let all = TokenError::of_all(vec![
            TokenError::unusable(Way::ClientSecret, "AZURE_CLIENT_SECRET is not set"),
            TokenError::unusable(Way::AzureCli, "az not found on PATH"),
        ]);
        assert_eq!(
            all.to_string(),
            "no credential gave a token (client-secret: AZURE_CLIENT_SECRET is not set; azure-cli: az not found on PATH)"
        );
        assert_eq!(all.kind(), Kind::Denied);
    }
}
