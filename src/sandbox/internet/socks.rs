//! SOCKS, version 5 (RFC 1928): no authentication, CONNECT alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Address(IpAddr),
    /// A name that the proxy shall resolve.
    Name(String),
}

/// The replies that are given (RFC 1928, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Succeeded = 0,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// Negotiates, and reads one request. `None` when it was refused; the refusal has been sent.
pub(super) async fn request<S>(stream: &mut S) -> io::Result<Option<(Target, u16)>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if stream.read_u8().await? != VERSION {
        return Ok(None);
    }
    let mut methods = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&NO_AUTHENTICATION) {
        stream.write_all(&[VERSION, NO_ACCEPTABLE_METHOD]).await?;
        return Ok(None);
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION]).await?;

    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    if version != VERSION {
        return Ok(None);
    }
    let target = match kind {
        1 => Target::Address(Ipv4Addr::from(stream.read_u32().await?).into()),
        3 => {
            let mut name = vec![0; usize::from(stream.read_u8().await?)];
            stream.read_exact(&mut name).await?;
            Target::Name(String::from_utf8_lossy(&name).into_owned())
        }
        4 => Target::Address(Ipv6Addr::from(stream.read_u128().await?).into()),
        _ => {
            answer(stream, Reply::AddressTypeNotSupported).await?;
            return Ok(None);
        }
    };
    let port = stream.read_u16().await?;
    if command != CONNECT {
        answer(stream, Reply::CommandNotSupported).await?;
        return Ok(None);
    }
    Ok(Some((target, port)))
}

/// Answers a request; the address that the proxy is bound to is nobody's business.
pub(super) async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, reply: Reply) -> io::Result<()> {
    stream.write_all(&[VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(octets: &[u8]) -> (io::Result<Option<(Target, u16)>>, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(1024);
        client.write_all(octets).await.unwrap();
        client.shutdown().await.unwrap();
        let request = request(&mut server).await;
        drop(server);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        (request, said)
    }

    #[tokio::test]
    async fn addresses_and_names_are_read() {
        let (request, said) = asked(&[5, 1, 0, 5, 1, 0, 1, 203, 0, 113, 7, 0xf6, 0x23]).await;
        assert_eq!(request.unwrap(), Some((Target::Address([203, 0, 113, 7].into()), 63011)));
        assert_eq!(said, [5, 0]);
        let mut six = vec![5, 2, 2, 0, 5, 1, 0, 4];
        six.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six.extend([0, 22]);
        assert_eq!(asked(&six).await.0.unwrap(), Some((Target::Address("2001:db8::7".parse().unwrap()), 22)));
        let mut name = vec![5, 1, 0, 5, 1, 0, 3, 7];
        name.extend(b"a.b.org");
        name.extend([0, 80]);
        assert_eq!(asked(&name).await.0.unwrap(), Some((Target::Name("a.b.org".into()), 80)));
    }

    #[tokio::test]
    async fn other_methods_commands_and_addresses_are_refused() {
        assert_eq!(asked(&[5, 1, 2]).await.1, [5, 0xff]);
        let (request, said) = asked(&[5, 1, 0, 5, 2, 0, 1, 203, 0, 113, 7, 0, 22]).await;
        assert_eq!((request.unwrap(), said.get(3)), (None, Some(&7)));
        let (request, said) = asked(&[5, 1, 0, 5, 1, 0, 9, 0, 0]).await;
        assert_eq!((request.unwrap(), said.get(3)), (None, Some(&8)));
        assert_eq!(asked(&[4, 1, 0, 22]).await.0.unwrap(), None);
        assert!(asked(&[5, 1, 0, 5, 1]).await.0.is_err());
    }
}
