//! What an absent key means.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::model::record::Ttl;
use crate::notify::Topic;

/// `prune`: the file is the whole truth about marked records.
pub const PRUNE: bool = true;
/// `endpoint.manage`.
pub const MANAGE: bool = true;
/// `endpoint.nat_rule.idle_timeout_minutes`: Azure's own default.
pub const IDLE_TIMEOUT_MINUTES: u8 = 4;
/// `account.api`: Cloudflare API v4.
pub const CLOUDFLARE_API: &str = "https://api.cloudflare.com/client/v4/";
/// `record.ttl`.
pub const TTL: Ttl = Ttl::DEFAULT;
/// `record.proxied`: a proxied name would break RDP and SSH.
pub const PROXIED: bool = false;
/// `watch.interval`.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// `watch.label_interval`: the TTL that Azure serves labels with.
pub const LABEL_INTERVAL: Duration = Duration::from_secs(10);
/// `verify.authoritative`.
pub const AUTHORITATIVE: bool = true;
/// `verify.resolvers`, its only element: what the system is configured with.
pub const RESOLVER: &str = "system";
/// `verify.timeout`: Azure DNS promises its servers a change within 60 seconds.
pub const TIMEOUT: Duration = Duration::from_secs(90);
/// `limits.deletes_per_round`.
pub const DELETES_PER_ROUND: u32 = 3;
/// `limits.request_timeout`: longer than Resource Manager takes for any answer but an operation's end.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// `state.directory`.
pub const STATE_DIRECTORY: &str = "/var/lib/cnamed";
/// `http.listen`: loopback, because the page names every endpoint.
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9953);
/// `notify.events`: whatever somebody may have to do something about, and what became of it. What was written is left
/// out, since it follows from one of these or from an edit of the file.
pub const EVENTS: [Topic; 6] =
    [Topic::Address, Topic::Failure, Topic::Refusal, Topic::Unverified, Topic::Recovery, Topic::Service];
/// What `notify.events` may name: a test is told to everybody.
pub(super) const EVERY_EVENT: [Topic; 7] = [
    Topic::Address,
    Topic::Change,
    Topic::Failure,
    Topic::Refusal,
    Topic::Unverified,
    Topic::Recovery,
    Topic::Service,
];
/// `notify.repeat`: once in a shift.
pub const REPEAT: Duration = Duration::from_secs(6 * 60 * 60);
/// `notify.timeout`.
pub const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// The port of a name server that is written without one (RFC 1035, 4.2).
pub const DNS_PORT: u16 = 53;
/// The port of a SOCKS proxy that is written without one (IANA: socks).
pub const SOCKS_PORT: u16 = 1080;

/// A duration as the file writes it, such as `90s`.
pub(super) fn text(duration: Duration) -> String {
    const HOUR: u64 = 60 * 60;
    if duration.subsec_nanos() == 0 {
        match duration.as_secs() {
            seconds @ HOUR.. if seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
            seconds => format!("{seconds}s"),
        }
    } else {
        humantime::format_duration(duration).to_string()
    }
}
