//! The client's side of SOCKS5 (RFC 1928), as far as one connection to an address needs it, without authentication.
//!
//! The two steps are apart, because a silence means something else in each: in the first it is the proxy's own, in
//! the second it is that of the address behind.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why there is no way through a proxy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The connection to the proxy broke.
    #[error("it broke off")]
    Io(#[from] std::io::Error),
    /// Something else listens there.
    #[error("it does not speak SOCKS5")]
    NotSocks,
    /// No method in common (RFC 1928, 3).
    #[error("it wants a user name and a password, and has none from us")]
    Authentication,
    /// It could not or would not connect.
    #[error("{}", words(*.0))]
    Reply(u8),
}

/// Agrees on no authentication (RFC 1928, 3).
pub(super) async fn agree<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), ProxyError> {
    stream.write_all(&[VERSION, 1, NO_AUTHENTICATION]).await?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await?;
    match answer {
        [VERSION, NO_AUTHENTICATION] => Ok(()),
        [VERSION, _] => Err(ProxyError::Authentication),
        _ => Err(ProxyError::NotSocks),
    }
}

/// Has the proxy connect to an address (RFC 1928, 4 and 6); what is read afterwards comes from there.
///
/// That it says that it has connected proves nothing: pproxy and others say so first and connect then. Nor does the
/// address that it names: OpenSSH, which does connect first, names 0.0.0.0, and pproxy names the one it was given.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: SocketAddr,
) -> Result<(), ProxyError> {
    let mut request = vec![VERSION, CONNECT, RESERVED];
    match address.ip() {
        IpAddr::V4(ip) => {
            request.push(IPV4);
            request.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(IPV6);
            request.extend(ip.octets());
        }
    }
    request.extend(address.port().to_be_bytes());
    stream.write_all(&request).await?;

    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let bound = match head {
        [VERSION, SUCCEEDED, _, IPV4] => 4,
        [VERSION, SUCCEEDED, _, IPV6] => 16,
        [VERSION, SUCCEEDED, _, NAME] => usize::from(stream.read_u8().await?),
        [VERSION, SUCCEEDED, ..] => return Err(ProxyError::NotSocks),
        // What follows a refusal is of no interest.
        [VERSION, reply, ..] => return Err(ProxyError::Reply(reply)),
        _ => return Err(ProxyError::NotSocks),
    };
    // The address that the proxy connects from, and its port; not one byte more, which is the greeting's.
    let mut rest = [0; 255 + 2];
    stream.read_exact(&mut rest[..bound + 2]).await?;
    Ok(())
}

/// The replies in the RFC's own words (RFC 1928, 6).
fn words(reply: u8) -> String {
    match reply {
        0x01 => "general SOCKS server failure",
        0x02 => "connection not allowed by ruleset",
        NETWORK_UNREACHABLE => "network unreachable",
        HOST_UNREACHABLE => "host unreachable",
        REFUSED => "connection refused",
        TTL_EXPIRED => "TTL expired",
        0x07 => "command not supported",
        0x08 => "address type not supported",
        _ => return format!("reply {reply:#04x}"),
    }
    .into()
}

/// Network unreachable (RFC 1928, 6).
pub(super) const NETWORK_UNREACHABLE: u8 = 0x03;
/// Host unreachable (RFC 1928, 6).
pub(super) const HOST_UNREACHABLE: u8 = 0x04;
/// Connection refused (RFC 1928, 6).
pub(super) const REFUSED: u8 = 0x05;
/// TTL expired (RFC 1928, 6).
pub(super) const TTL_EXPIRED: u8 = 0x06;
const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const RESERVED: u8 = 0;
const SUCCEEDED: u8 = 0;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
