//! What machines say to those who connect: no more than the greeting.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::sandbox::azure::compute::Speaks;

/// Speaks until the other side has heard enough, or nonsense was heard.
pub(super) async fn speak<S>(stream: &mut S, speaks: Speaks) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match speaks {
        Speaks::Rdp => {
            let mut head = [0; 4];
            stream.read_exact(&mut head).await?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            if head[0] != TPKT_VERSION || !(11..=MOST).contains(&length) {
                return hang_up(stream).await;
            }
            let mut body = vec![0; length - head.len()];
            stream.read_exact(&mut body).await?;
            let Some(confirm) = confirm(&body) else { return hang_up(stream).await };
            stream.write_all(&confirm).await?;
            ignore(stream).await
        }
        Speaks::Ssh => {
            stream.write_all(SSH_IDENTIFICATION).await?;
            ignore(stream).await
        }
        Speaks::Http => {
            let mut heard = [0; 16];
            let count = stream.read(&mut heard).await?;
            let is_http = heard[..count].starts_with(b"GET ") || heard[..count].starts_with(b"HEAD ");
            if count > 0 {
                stream.write_all(if is_http { NOT_FOUND } else { BAD_REQUEST }).await?;
            }
            hang_up(stream).await
        }
        Speaks::Nothing => ignore(stream).await,
        Speaks::Closed => Ok(()),
    }
}

/// The X.224 Connection Confirm to a Connection Request, both without their TPKT header on the way in and with it on the
/// way out (MS-RDPBCGR 2.2.1.1 and 2.2.1.2; RFC 2126, 4.3). `None` for what is no Connection Request.
fn confirm(request: &[u8]) -> Option<Vec<u8>> {
    let [length, code, 0, 0, reference @ ..] = request.get(..6)? else { return None };
    let [high, low] = *reference else { return None };
    let class = *request.get(6)?;
    if usize::from(*length) != request.len() - 1 || code & 0xf0 != CONNECTION_REQUEST || class & 0xf0 != 0 {
        return None;
    }
    let mut rest = request.get(7..)?;
    if rest.starts_with(b"Cookie: ") || rest.starts_with(b"tsv://") {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        rest = rest.get(end + 2..)?;
    }
    let negotiated = match rest {
        [] => None,
        [NEGOTIATION_REQUEST, _, 8, 0, protocols @ ..] if protocols.len() >= 4 => {
            let protocols = u32::from_le_bytes(protocols[..4].try_into().ok()?);
            // What a Windows server of today prefers: CredSSP, then TLS.
            Some([PROTOCOL_HYBRID, PROTOCOL_SSL].into_iter().find(|one| protocols & one != 0).unwrap_or(0))
        }
        _ => return None,
    };
    let mut body = vec![0, CONNECTION_CONFIRM, high, low, 0x12, 0x34, 0];
    if let Some(protocol) = negotiated {
        body.extend([NEGOTIATION_RESPONSE, EXTENDED_CLIENT_DATA_SUPPORTED, 8, 0]);
        body.extend(protocol.to_le_bytes());
    }
    body[0] = u8::try_from(body.len() - 1).ok()?;
    let whole = u16::try_from(body.len() + 4).ok()?.to_be_bytes();
    let mut confirm = vec![TPKT_VERSION, 0, whole[0], whole[1]];
    confirm.append(&mut body);
    Some(confirm)
}

/// Ends the conversation. What was not read would turn the end into a reset, before the client has seen it.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    ignore(stream).await
}

async fn ignore<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut heard = [0; 512];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

const TPKT_VERSION: u8 = 3;
const MOST: usize = 512;
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_RESPONSE: u8 = 2;
const EXTENDED_CLIENT_DATA_SUPPORTED: u8 = 1;
const PROTOCOL_SSL: u32 = 1;
const PROTOCOL_HYBRID: u32 = 2;
const SSH_IDENTIFICATION: &[u8] = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_confirmed() {
        // MS-RDPBCGR 4.1.1 and 4.1.2, without their TPKT headers; the server there chose no security.
        let mut request = vec![0x27, 0xe0, 0, 0, 0, 0, 0];
        request.extend(b"Cookie: mstshash=eltons\r\n");
        request.extend([1, 0, 8, 0, 0, 0, 0, 0]);
        let said = confirm(&request).unwrap();
        assert_eq!(said[..4], [3, 0, 0, 0x13]);
        assert_eq!(said[4..8], [0x0e, 0xd0, 0, 0]);
        assert_eq!(said[8..11], [0x12, 0x34, 0]);
        assert_eq!(said[11..], [2, 1, 8, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn without_negotiation_none_is_answered() {
        assert_eq!(
            confirm(&[6, 0xe0, 0, 0, 0x56, 0x78, 0]).unwrap(),
            [3, 0, 0, 11, 6, 0xd0, 0x56, 0x78, 0x12, 0x34, 0]
        );
    }

    #[test]
    fn the_best_protocol_that_was_asked_for_is_chosen() {
        let mut request = vec![14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];
        assert_eq!(confirm(&request).unwrap()[15..], [2, 0, 0, 0]);
        request[11] = 1;
        assert_eq!(confirm(&request).unwrap()[15..], [1, 0, 0, 0]);
    }

    #[test]
    fn nonsense_is_not_confirmed() {
        for nonsense in [
            &[6, 0xd0, 0, 0, 0, 0, 0][..],
            &[7, 0xe0, 0, 0, 0, 0, 0],
            &[6, 0xe0, 0, 1, 0, 0, 0],
            &[8, 0xe0, 0, 0, 0, 0, 0, 9, 9],
            &[14, 0xe0, 0, 0, 0, 0, 0, b'C', b'o', b'o', b'k', b'i', b'e', b':', b' '],
            &[],
        ] {
            assert_eq!(confirm(nonsense), None, "{nonsense:?}");
        }
    }
}
