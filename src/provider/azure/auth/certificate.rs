//! Client certificates: an assertion signed with the application's key, in place of a secret.
//!
//! The identity library's own certificate credential needs OpenSSL; its assertion credential needs only the
//! assertion, and the TLS stack that is here anyway can sign one. Form of the assertion: "Microsoft identity
//! platform application authentication certificate credentials".

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::ClientMethodOptions;
use azure_core::time::OffsetDateTime;
use azure_identity::ClientAssertion;
use reqwest::Url;
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use serde_json::json;
use uuid::Uuid;

/// Signs assertions that the bearer is the application.
pub(super) struct Certificate {
    key: Arc<dyn SigningKey>,
    /// `x5t#S256` (RFC 7515, 4.1.8).
    thumbprint: String,
    client_id: String,
    /// The token endpoint, for which alone an assertion is good.
    audience: String,
}

impl Certificate {
    /// The certificate and the key in `pem`.
    pub(super) fn new(pem: &str, authority: &Url, tenant: &str, client_id: &str) -> Result<Self, String> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "the file holds no certificate in PEM form".to_owned())?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            let sealed = pem.contains("ENCRYPTED");
            let what = if sealed { "an encrypted private key" } else { "no private key in PEM form" };
            format!("the file holds {what}")
        })?;
        let key = ring::sign::any_supported_type(&key)
            .map_err(|_| "the file holds a private key of a kind that is not supported".to_owned())?;
        // The suite's own SHA-256, so that no other crate needs to bring one.
        let rustls::SupportedCipherSuite::Tls13(suite) = ring::cipher_suite::TLS13_AES_128_GCM_SHA256 else {
            return Err("SHA-256 is not to be had".to_owned());
        };
        let thumbprint = base64url(suite.common.hash_provider.hash(&certificate).as_ref());
        let audience = authority.join(&format!("/{tenant}/oauth2/v2.0/token"));
        let certificate = Self {
            key,
            thumbprint,
            client_id: client_id.to_owned(),
            audience: audience.map_err(|error| error.to_string())?.to_string(),
        };
        // Said now rather than at the first request: Entra ID takes RSA keys only.
        certificate.assertion(OffsetDateTime::UNIX_EPOCH)?;
        Ok(certificate)
    }

    fn assertion(&self, now: OffsetDateTime) -> Result<String, String> {
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]);
        let signer = signer.ok_or("the private key is not an RSA key, and Entra ID takes no other")?;
        let now = now.unix_timestamp();
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": self.audience, "iss": self.client_id, "sub": self.client_id,
            "jti": Uuid::new_v4().to_string(), "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let part = |value: serde_json::Value| base64url(value.to_string().as_bytes());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = signer.sign(message.as_bytes()).map_err(|error| error.to_string())?;
        Ok(format!("{message}.{}", base64url(&signature)))
    }
}

#[async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.assertion(OffsetDateTime::now_utc())
            .map_err(|what| azure_core::Error::with_message(azure_core::error::ErrorKind::Credential, what))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.thumbprint)
    }
}

/// RFC 4648, 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let digit = |value: u32| char::from(DIGITS[(value & 63) as usize]);
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(digit(group >> (18 - 6 * place)));
        }
    }
    text
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Seconds. Entra ID advises five to ten minutes.
const LIFETIME: i64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test; it opens nothing.
    const PEM: &str = include_str!("../../../../tests/data/application.pem");

    /// What `openssl x509 -outform der | openssl dgst -sha256 -binary` says of it, in base64url.
    const THUMBPRINT: &str = "BO5IgaYVuduuqLfN7TSCC_3hzYeFWSyH10bWfeM4fOg";

    fn certificate(pem: &str) -> Result<Certificate, String> {
        let authority = "https://login.microsoftonline.com".parse().unwrap();
        Certificate::new(pem, &authority, "tenant", "client")
    }

    #[test]
    fn an_assertion_is_signed_by_the_certificate_s_key() {
        let certificate = certificate(PEM).unwrap();
        let assertion = certificate.assertion(OffsetDateTime::UNIX_EPOCH).unwrap();
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let signature = unbase64url(signature);
        let spki = certificate.key.public_key().unwrap();
        // An RSA-2048 key's SubjectPublicKeyInfo ends in the key itself: 270 octets.
        let key = &spki[spki.len() - 270..];
        let schemes = ring::default_provider().signature_verification_algorithms.mapping;
        let (_, verifiers) =
            schemes.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PSS_SHA256).unwrap();
        verifiers[0].verify_signature(key, message.as_bytes(), &signature).unwrap();
        verifiers[0].verify_signature(key, b"another message", &signature).unwrap_err();

        let (header, claims) = message.split_once('.').unwrap();
        let read = |part: &str| serde_json::from_slice::<serde_json::Value>(&unbase64url(part)).unwrap();
        assert_eq!(read(header)["x5t#S256"], THUMBPRINT);
        let claims = read(claims);
        assert_eq!(claims["aud"], "https://login.microsoftonline.com/tenant/oauth2/v2.0/token");
        assert_eq!((&claims["iss"], &claims["sub"]), (&"client".into(), &"client".into()));
        assert_eq!(claims["exp"], 600);
    }

    #[test]
    fn what_is_missing_from_the_file_is_named() {
        let split = PEM.find("-----BEGIN CERTIFICATE").unwrap();
        let (key, alone) = PEM.split_at(split);
        assert!(certificate(alone).unwrap_err().contains("no private key"));
        assert!(certificate(key).unwrap_err().contains("no certificate"));
        let sealed = format!(
            "{alone}-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
        );
        assert!(certificate(&sealed).unwrap_err().contains("an encrypted private key"));
    }

    #[test]
    fn base64url_is_that_of_the_rfc() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(base64url(plain.as_bytes()), encoded);
            assert_eq!(unbase64url(encoded), plain.as_bytes());
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    fn unbase64url(text: &str) -> Vec<u8> {
        let mut bits = (0_u32, 0);
        let mut bytes = Vec::new();
        for digit in text.bytes() {
            let value = DIGITS.iter().position(|known| *known == digit).unwrap();
            bits = (bits.0 << 6 | u32::try_from(value).unwrap(), bits.1 + 6);
            if bits.1 >= 8 {
                bits.1 -= 8;
                bytes.push(u8::try_from(bits.0 >> bits.1 & 0xff).unwrap());
            }
        }
        bytes
    }
}
