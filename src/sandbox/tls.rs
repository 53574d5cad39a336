//! A certificate authority of the moment, and one leaf that every service of the sandbox shows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The authority's certificate as text, and what the listeners need.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The authority's certificate, PEM (RFC 7468).
    pub(crate) ca_pem: String,
    /// Accepts TLS 1.2 and 1.3, offering h2 and http/1.1.
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    /// Makes fresh keys, so that nothing ever trusts two sandboxes by one certificate.
    pub(crate) fn generate() -> io::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "cnamed sandbox authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(io::Error::other)?)
            .map_err(io::Error::other)?;

        let mut leaf = CertificateParams::new(HOSTS.map(str::to_owned).to_vec()).map_err(io::Error::other)?;
        leaf.distinguished_name.push(DnType::CommonName, "cnamed sandbox");
        leaf.subject_alt_names.extend([
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ]);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers (OpenSSL's X509_STRICT, Python 3.13's default) want the issuer's key id in a leaf.
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = leaf.signed_by(&key, &issuer).map_err(io::Error::other)?;

        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { ca_pem: issuer.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// The names under which clients with fixed host names look for the services, beside loopback itself.
const HOSTS: [&str; 4] =
    ["localhost", "management.azure.com", "login.microsoftonline.com", "api.cloudflare.com"];
