//! What was promised against what name servers say.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::Fqdn;
use super::record::{Content, Data, RecordType, Ttl};
use super::zone::Zone;

/// What one server said to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The server, as `name (ip:port)` or `ip:port`.
    pub server: String,
    /// What it said.
    pub said: Said,
}

/// The substance of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The name exists.
    Records(Reply),
    /// NXDOMAIN or NODATA; for a name of ours the two mean the same: nothing is served.
    Nothing {
        /// How long the absence may be remembered (RFC 2308, 5), in seconds.
        negative_ttl: Option<u32>,
    },
    /// REFUSED, SERVFAIL, a time-out, a lame delegation: no answer, in words.
    Failed(String),
}

/// The records of an answer, in the order of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The CNAME chain: each target and the TTL of the link to it.
    pub chain: Vec<(Fqdn, u32)>,
    /// The addresses at its end.
    pub addresses: Vec<IpAddr>,
    /// The TTL of the record set at the asked name, in seconds as this server counts it now.
    pub ttl: u32,
}

/// What the authoritative servers shall say of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// A CNAME to this name.
    Cname {
        /// The target.
        target: Fqdn,
        /// Whether the provider answers with addresses in its place: flattened at an apex.
        flattened: bool,
        /// The endpoint's address, to hold a flattened answer against; `None` while it is released.
        address: Option<IpAddr>,
    },
    /// Exactly these addresses.
    Addresses(Vec<IpAddr>),
    /// The provider's own addresses: the record is proxied, and what stands behind is invisible by design.
    Proxied {
        /// The endpoint's address, which must not show; `None` while it is released.
        address: Option<IpAddr>,
    },
    /// Nothing at all: the record has been withdrawn.
    Gone,
}

/// How far what was promised is what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every authoritative server said so.
    Agreed,
    /// Proxied or flattened: the record itself is invisible by design, and the addresses fit.
    Masked,
    /// An old TTL is still running somewhere.
    Pending,
    /// At least one server did not answer, and none says otherwise.
    Unanswered,
    /// At least one authoritative server says otherwise.
    Contradicted,
}

/// A verdict and the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// The evidence in one line, naming the first server that differs.
    pub detail: String,
}

/// The types to ask a server of `zone` for, so that `content` shows wherever it is still served.
///
/// A CNAME shows in the answer to a question for its own type; where it may be flattened, only its addresses show, and
/// one that is not flattened shows in the answers for those as well (RFC 1034, 4.3.2). Nothing shows of a proxied
/// record but the provider's addresses.
#[must_use]
pub fn shows_as(content: &Content, zone: &Zone) -> BTreeSet<RecordType> {
    match &content.data {
        _ if content.proxied => either_address(),
        Data::Cname(_) if zone.rules.flattens_apex => either_address(),
        data => [data.rtype()].into(),
    }
}

/// Both types of address: what shows whatever a client could be led by, since a CNAME is given for them as well.
#[must_use]
pub fn either_address() -> BTreeSet<RecordType> {
    [RecordType::A, RecordType::Aaaa].into()
}

/// Judges the authoritative servers' answers: [`Verdict::Agreed`] means every one of them, none silent.
///
/// The question is the record's own type: CNAME for a CNAME, A or AAAA for one that is flattened or proxied.
///
/// - One server that says otherwise makes it [`Verdict::Contradicted`], whatever the others say; right after a write
///   that is what propagation looks like, and asking again settles it.
/// - `ttl` is what the record was written with. A server that gives the right data with another TTL still serves an
///   older version of the record set: authoritative servers do not count down, and a write carries data and TTL
///   together. That is [`Verdict::Pending`], since whoever asks there meanwhile keeps it for the old time. Providers
///   choose the TTL of what they flatten, proxy or set to automatic, so there it is not compared.
/// - A server without an answer among servers that agree makes it [`Verdict::Unanswered`]: it may serve anything.
#[must_use]
pub fn judge(expected: &Expected, ttl: Option<Ttl>, answers: &[Answer]) -> Finding {
    let ttl = ttl.filter(|ttl| *ttl != Ttl::AUTOMATIC).map(Ttl::seconds);
    let views: Vec<View<'_>> = answers.iter().map(|answer| View::of(expected, answer)).collect();
    let fitting = views.iter().filter(|view| view.fit.is_fit()).count();

    if let Some(view) = views.iter().find(|view| view.fit == Fit::Differs) {
        let others =
            if fitting > 0 { format!("; {fitting} of {} agree", views.len()) } else { String::new() };
        let detail = format!("{} says {}, not {expected}{others}", view.name(answers), view.answer.said);
        return Finding { verdict: Verdict::Contradicted, detail };
    }
    let older = |view: &&View<'_>| match (&view.answer.said, ttl) {
        (Said::Records(reply), Some(ttl)) => view.fit == Fit::Plain && reply.ttl != ttl,
        _ => false,
    };
    if let (Some(view), Some(ttl)) = (views.iter().find(older), ttl) {
        let detail = format!("{} still says {}, not TTL {ttl}", view.name(answers), view.answer.said);
        return Finding { verdict: Verdict::Pending, detail };
    }
    settled(expected, answers, &views, "name server")
}

/// Judges what recursive resolvers say, once the authoritative servers agree.
///
/// - A resolver that keeps something older is [`Verdict::Pending`], and the detail has the seconds for which it may,
///   as it counts them itself; of several the one that takes longest is named. A remembered absence counts too.
/// - `old` is what stood there before. An answer that is neither `expected` nor `old` is then
///   [`Verdict::Contradicted`]: the resolver does not get its answers where we wrote. Without `old` nobody can tell,
///   and any other answer counts as something older.
/// - TTLs are not compared: a cache counts down.
#[must_use]
pub fn seen_by_resolvers(expected: &Expected, old: Option<&Expected>, answers: &[Answer]) -> Finding {
    let views: Vec<View<'_>> = answers.iter().map(|answer| View::of(expected, answer)).collect();
    let differing = || views.iter().filter(|view| view.fit == Fit::Differs);
    let strange = |view: &&View<'_>| {
        let records = matches!(view.answer.said, Said::Records(_));
        records && old.is_some_and(|old| !View::of(old, view.answer).fit.is_fit())
    };
    if let Some(view) = differing().find(strange) {
        let before = old.map(|old| format!(" nor {old} as before")).unwrap_or_default();
        let detail = format!("{} says {}, neither {expected}{before}", view.name(answers), view.answer.said);
        return Finding { verdict: Verdict::Contradicted, detail };
    }
    let longest = differing().rev().max_by_key(|view| remaining(&view.answer.said));
    if let Some(view) = longest {
        let name = view.name(answers);
        let detail = match (&view.answer.said, remaining(&view.answer.said)) {
            (Said::Records(reply), Some(left)) => format!("{name} still says {} for {left} s", reply.data()),
            (_, Some(left)) => format!("{name} still remembers for {left} s that there is nothing"),
            _ => format!("{name} still says that there is nothing"),
        };
        return Finding { verdict: Verdict::Pending, detail };
    }
    settled(expected, answers, &views, "resolver")
}

/// As [`seen_by_resolvers`], where other accounts hold the name too: a resolver asks whichever of them it likes, so that
/// what one of the `others` shall say to the same question is as right.
#[must_use]
pub fn seen_beside(expected: &Expected, others: &[Expected], answers: &[Answer]) -> Finding {
    let fits = |expected: &Expected, answer: &Answer| View::of(expected, answer).fit.is_fit();
    let is_theirs =
        |answer: &Answer| !fits(expected, answer) && others.iter().any(|other| fits(other, answer));
    let (theirs, own): (Vec<Answer>, Vec<Answer>) = answers.iter().cloned().partition(is_theirs);
    let Some(first) = theirs.first() else { return seen_by_resolvers(expected, None, answers) };
    let of_another = "as another account of the name has it";
    if own.is_empty() {
        let detail = format!("{} {}, {of_another}", all_say(theirs.len(), "resolver"), first.said);
        return Finding { verdict: Verdict::Agreed, detail };
    }
    let Finding { verdict, detail } = seen_by_resolvers(expected, None, &own);
    let rest = all_say(theirs.len(), "resolver");
    Finding { verdict, detail: format!("{detail}; {rest} {}, {of_another}", first.said) }
}

/// How one answer stands to what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It says so.
    Plain,
    /// It says what must be seen where the record itself cannot be.
    Masked,
    /// It says something else.
    Differs,
    /// It says nothing at all.
    Silent,
}

impl Verdict {
    /// Whether what was promised was seen: agreed, or masked with addresses that fit.
    #[must_use]
    pub fn is_verified(self) -> bool {
        matches!(self, Self::Agreed | Self::Masked)
    }
}

impl Fit {
    fn is_fit(self) -> bool {
        matches!(self, Self::Plain | Self::Masked)
    }
}

/// An answer beside what was expected of it.
struct View<'a> {
    answer: &'a Answer,
    fit: Fit,
}

impl<'a> View<'a> {
    fn of(expected: &Expected, answer: &'a Answer) -> Self {
        let fit = match &answer.said {
            Said::Failed(_) => Fit::Silent,
            Said::Records(reply) => expected.fit_of(reply),
            Said::Nothing { .. } => match expected {
                Expected::Gone => Fit::Plain,
                // A released endpoint leaves an alias empty.
                Expected::Addresses(addresses) if addresses.is_empty() => Fit::Plain,
                // Flattening a name without an address leaves nothing to serve.
                Expected::Cname { flattened: true, address: None, .. } => Fit::Masked,
                _ => Fit::Differs,
            },
        };
        Self { answer, fit }
    }

    /// The server's name alone where that tells it apart, else all that is known of it.
    fn name(&self, answers: &[Answer]) -> &'a str {
        let short = |server: &'a str| server.split_once(" (").map_or(server, |(name, _)| name);
        let name = short(&self.answer.server);
        let namesakes = answers.iter().filter(|other| other.server.split(" (").next() == Some(name)).count();
        if namesakes > 1 { &self.answer.server } else { name }
    }
}

impl Expected {
    /// What a server that shall say this to a question for `asked` shall say to one for `rtype`.
    #[must_use]
    pub fn for_question(&self, asked: &RecordType, rtype: &RecordType) -> Self {
        match self {
            // A CNAME is given for every type (RFC 1034, 4.3.2).
            Self::Cname { flattened: false, .. } | Self::Gone => self.clone(),
            Self::Proxied { .. } if *rtype != RecordType::Cname => self.clone(),
            _ if asked == rtype => self.clone(),
            Self::Cname { .. } | Self::Addresses(_) | Self::Proxied { .. } => Self::Gone,
        }
    }

    fn fit_of(&self, reply: &Reply) -> Fit {
        let first = reply.chain.first().map(|(target, _)| target);
        let plain = |fits: bool| if fits { Fit::Plain } else { Fit::Differs };
        let masked = |fits: bool| if fits { Fit::Masked } else { Fit::Differs };
        match (self, first) {
            (Self::Cname { target, .. }, Some(first)) => plain(first == target),
            (Self::Cname { flattened: true, address: Some(address), .. }, None) => {
                masked(!reply.addresses.is_empty() && reply.addresses.iter().all(|a| a == address))
            }
            (Self::Cname { .. } | Self::Gone, None) => Fit::Differs,
            (Self::Addresses(addresses), None) => plain(same_set(addresses, &reply.addresses)),
            (Self::Proxied { address }, None) => masked(
                !reply.addresses.is_empty() && reply.addresses.iter().all(|a| Some(a) != address.as_ref()),
            ),
            (Self::Addresses(_) | Self::Proxied { .. } | Self::Gone, Some(_)) => Fit::Differs,
        }
    }
}

impl Reply {
    /// What stands at the asked name, in words.
    fn data(&self) -> String {
        match self.chain.first() {
            Some((target, _)) => format!("CNAME {target}"),
            None if self.addresses.is_empty() => "records of another type".to_owned(),
            None => list(&self.addresses),
        }
    }
}

/// The verdict when no server contradicts: all fit, or some are silent.
fn settled(expected: &Expected, answers: &[Answer], views: &[View<'_>], kind: &str) -> Finding {
    let Some(first) = views.first() else {
        return Finding { verdict: Verdict::Unanswered, detail: format!("no {kind} is known for it") };
    };
    let count = views.len();
    let fitting = views.iter().filter(|view| view.fit.is_fit()).count();
    if let Some(view) = views.iter().find(|view| view.fit == Fit::Silent) {
        let why = if let Said::Failed(why) = &view.answer.said { why.as_str() } else { "" };
        let detail = format!("{}: {why}; {fitting} of {count} agree", view.name(answers));
        return Finding { verdict: Verdict::Unanswered, detail };
    }
    let all = all_say(count, kind);
    match views.iter().find(|view| view.fit == Fit::Masked) {
        Some(view) => {
            let seen = match &view.answer.said {
                Said::Records(reply) => reply.data(),
                _ => "nothing, as the endpoint has no address".to_owned(),
            };
            let why = if matches!(expected, Expected::Proxied { .. }) { "proxied" } else { "flattened" };
            Finding { verdict: Verdict::Masked, detail: format!("{why}: {all} {seen}") }
        }
        None => Finding { verdict: Verdict::Agreed, detail: format!("{all} {}", first.answer.said) },
    }
}

fn all_say(count: usize, kind: &str) -> String {
    if count == 1 { format!("1 {kind} says") } else { format!("{count} {kind}s say") }
}

/// How long this answer may be remembered, in seconds.
fn remaining(said: &Said) -> Option<u32> {
    match said {
        Said::Records(reply) => Some(reply.ttl),
        Said::Nothing { negative_ttl } => *negative_ttl,
        Said::Failed(_) => None,
    }
}

fn same_set(a: &[IpAddr], b: &[IpAddr]) -> bool {
    a.iter().all(|x| b.contains(x)) && b.iter().all(|x| a.contains(x))
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agreed => "agreed",
            Self::Masked => "masked",
            Self::Pending => "pending",
            Self::Unanswered => "unanswered",
            Self::Contradicted => "contradicted",
        })
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(reply) => write!(f, "{} (TTL {})", reply.data(), reply.ttl),
            Self::Nothing { .. } => f.write_str("that there is nothing"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cname { flattened: true, address: Some(address), .. } => write!(f, "{address}"),
            Self::Cname { target, .. } => write!(f, "CNAME {target}"),
            Self::Addresses(addresses) if addresses.is_empty() => f.write_str("no address"),
            Self::Addresses(addresses) => f.write_str(&list(addresses)),
            Self::Proxied { .. } => f.write_str("the provider's own addresses"),
            Self::Gone => f.write_str("nothing"),
        }
    }
}
