//! What Azure Resource Manager answers instead of what was asked for, what that means, and what to do about it.
//!
//! Decided by the error's code, which is often only in `details[]` or `innererror`; the HTTP status decides only
//! where no code is known, since it varies between services and over time. The DNS provider puts `code` and
//! `message` at the top level, the others under `error`: both are read.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::provider::http::Response;
use crate::provider::{Error, Kind};

/// A refusal, or the failure of a long-running operation, with everything that Azure said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status; `None` for an operation that failed after it had been accepted.
    status: Option<u16>,
    fault: Fault,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

/// One error, and those within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fault {
    code: String,
    message: String,
    within: Vec<Fault>,
}

/// What a refusal means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Credentials or permissions.
    Denied,
    /// The thing, or what it stands in, is not there.
    Missing,
    /// It changed since it was read.
    Stale,
    /// Something else is under way: the same request may succeed later.
    Busy,
    /// Trying the same again is useless.
    Rejected,
    /// The service failed: a read may be repeated, a write must be settled by reading.
    Broken,
}

impl Refusal {
    /// The refusal that `response` is.
    pub(super) fn of(response: &Response) -> Self {
        let status = response.status.as_u16();
        let fault = match serde_json::from_slice::<Value>(&response.body) {
            Ok(body) => Fault::of(&body),
            Err(_) => Fault::default(),
        };
        let fault = if fault.is_empty() { Fault::unreadable(response) } else { fault };
        Self {
            status: Some(status),
            fault,
            request_id: response.request_id().map(str::to_owned),
            retry_after: response.retry_after(),
        }
    }

    /// The failure that the status document of a long-running operation tells of, which ended in `status`.
    pub(super) fn of_operation(status: &str, document: &Value, request_id: Option<&str>) -> Self {
        let mut fault = Fault::of(document);
        if fault.is_empty() {
            fault = Fault { code: status.to_owned(), message: "Azure gave no reason".into(), within: vec![] };
        }
        Self { status: None, fault, request_id: request_id.map(str::to_owned), retry_after: None }
    }

    /// What it means. The innermost code that is known decides.
    pub(super) fn meaning(&self) -> Meaning {
        if let Some(rule) = self.rule() {
            return rule.meaning;
        }
        match self.status {
            Some(401 | 403) => Meaning::Denied,
            Some(404 | 410) => Meaning::Missing,
            Some(412) => Meaning::Stale,
            Some(429 | 503) => Meaning::Busy,
            Some(408 | 500..) => Meaning::Broken,
            _ => Meaning::Rejected,
        }
    }

    /// What the operator does next, where that is known.
    pub(super) fn remedy(&self) -> Option<String> {
        if let Some((action, scope)) = self.missing_permission() {
            return Some(format!(
                "grant \"{action}\" on {scope} to this identity; a new role takes some minutes, with a managed \
                 identity until its token is renewed"
            ));
        }
        self.rule().map(|rule| rule.remedy.to_owned())
    }

    /// How long Azure asks to wait before the next try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether one of its codes is `code`.
    pub(super) fn is(&self, code: &str) -> bool {
        self.fault.innermost_first().iter().any(|fault| fault.code.eq_ignore_ascii_case(code))
    }

    /// Whether the resource, or the group that it would stand in, is known not to exist. A 404 without such a code
    /// (a proxy's page, another service) says nothing of the kind, and a missing subscription is a wrong setting.
    pub(super) fn is_absence(&self) -> bool {
        ABSENT.iter().any(|code| self.is(code))
    }

    /// Whether a write that was answered so may yet be made: whoever answers has only lost sight of it, or has waited
    /// for it long enough. That it is over Azure says itself, with an error of its own.
    pub(super) fn leaves_open(&self) -> bool {
        let over = self.status == Some(500) && !self.fault.is_ours() && !self.is("ServerTimeout");
        self.meaning() == Meaning::Broken && !over
    }

    /// As the ports know it.
    pub(super) fn into_error(self, operation: &'static str, resource: &str) -> Error {
        let kind = match self.meaning() {
            Meaning::Denied => Kind::Denied,
            Meaning::Missing => Kind::Missing,
            Meaning::Stale => Kind::Stale,
            Meaning::Busy => Kind::Throttled(self.retry_after.unwrap_or(PATIENCE)),
            Meaning::Rejected => Kind::Rejected,
            Meaning::Broken => Kind::Unreachable,
        };
        let remedy = self.remedy();
        let error = Error::new(kind, operation, resource).because(self);
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }

    fn rule(&self) -> Option<&'static Rule> {
        let faults = self.fault.innermost_first();
        let by_code = || {
            faults
                .iter()
                .find_map(|fault| RULES.iter().find(|rule| fault.code.eq_ignore_ascii_case(rule.code)))
        };
        // `Conflict` and `BadRequest` are codes that say nothing: their message has the meaning.
        let by_message = || {
            faults.iter().find_map(|fault| {
                let message = fault.message.to_ascii_lowercase();
                PHRASES.iter().find(|rule| message.contains(rule.code))
            })
        };
        by_code().or_else(by_message)
    }

    /// The action and the scope that `AuthorizationFailed` or `LinkedAuthorizationFailed` names as missing.
    fn missing_permission(&self) -> Option<(&str, &str)> {
        let faults = self.fault.innermost_first();
        let text = faults.iter().find(|fault| fault.code.ends_with("AuthorizationFailed"))?.message.as_str();
        // Where a reference was refused, the action that is granted is told first.
        let text = text.split_once("does not have").map_or(text, |(_, lacks)| lacks);
        let quoted = |after: &[&str]| {
            let rest = after.iter().find_map(|after| Some(text.split_once(after)?.1))?;
            rest.split_once('\'').map(|(inside, _)| inside)
        };
        Some((quoted(&["perform action '", "perform action(s) '"])?, quoted(&["scope '", "scope(s) '"])?))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        match &self.request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

impl Fault {
    fn of(body: &Value) -> Self {
        let error = member(body, "error").filter(|error| error.is_object()).unwrap_or(body);
        Self::at(error, 0)
    }

    fn at(error: &Value, depth: usize) -> Self {
        let text = |name| member(error, name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let mut within = Vec::new();
        if depth < DEEPEST {
            let details = member(error, "details").and_then(Value::as_array).into_iter().flatten();
            let inner = member(error, "innererror").into_iter();
            within.extend(details.chain(inner).map(|inner| Self::at(inner, depth + 1)));
            within.retain(|fault| !fault.is_empty());
        }
        Self { code: text("code"), message: text("message"), within }
    }

    fn unreadable(response: &Response) -> Self {
        let kind = response.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).filter(|kind| *kind != "application/json");
        let message = match (response.body.is_empty(), kind) {
            (true, _) => "no reason given".to_owned(),
            (false, Some(kind)) => format!("{kind} where JSON was promised"),
            (false, None) => "JSON that tells no error".to_owned(),
        };
        Self { code: format!("{UNTOLD}{}", response.status.as_u16()), message, within: Vec::new() }
    }

    /// Whether the words are ours, since the answer had none of Azure's.
    fn is_ours(&self) -> bool {
        self.code.starts_with(UNTOLD)
    }

    fn is_empty(&self) -> bool {
        self.code.is_empty() && self.message.is_empty() && self.within.is_empty()
    }

    fn innermost_first(&self) -> Vec<&Self> {
        let mut faults: Vec<_> = self.within.iter().flat_map(Self::innermost_first).collect();
        faults.push(self);
        faults
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let message = message.trim_end_matches('.');
        match (self.code.as_str(), message) {
            ("", message) => f.write_str(message)?,
            (code, "") => f.write_str(code)?,
            (code, message) => write!(f, "{code}: {message}")?,
        }
        for inner in
            self.within.iter().filter(|inner| inner.code != self.code || inner.message != self.message)
        {
            write!(f, "; {inner}")?;
        }
        Ok(())
    }
}

/// The member `name`, however its case is written: older services answer in `PascalCase`.
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// What one code, or one phrase in lower case, means.
struct Rule {
    code: &'static str,
    meaning: Meaning,
    remedy: &'static str,
}

const fn rule(code: &'static str, meaning: Meaning, remedy: &'static str) -> Rule {
    Rule { code, meaning, remedy }
}

/// How the code begins that stands in for Azure's own, before the status.
const UNTOLD: &str = "HTTP ";
/// What says that a resource does not exist.
const ABSENT: [&str; 4] = ["ResourceNotFound", "NotFound", "ResourceGroupNotFound", "ParentResourceNotFound"];
/// The wait before planning again, where Azure names none.
const PATIENCE: Duration = Duration::from_secs(5);
/// Errors nest two or three deep; more is an attempt to waste our stack.
const DEEPEST: usize = 8;

/// The literal codes of the network and DNS resource providers and of Resource Manager itself.
#[rustfmt::skip]
const RULES: &[Rule] = &[
    // A public IP's SKU.
    rule("IPv4BasicSkuPublicIpCountLimitReached", Meaning::Rejected, "Azure sells no Basic addresses any more, and this is how it says so; use a Standard, static one"),
    rule("StandardSkuPublicIPAddressesMustBeStatic", Meaning::Rejected, "set allocation = \"static\"; Standard addresses have no other"),
    rule("PublicIPAndLBSkuDoNotMatch", Meaning::Rejected, "give the address and the load balancer the same SKU; upgrade the Basic one"),
    rule("DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", Meaning::Rejected, "a machine takes addresses and load balancers of one SKU only; upgrade the Basic ones"),
    rule("ZonesNotAllowedInBasicSkuResource", Meaning::Rejected, "leave zones out; only Standard addresses have them"),
    rule("PublicIPCountLimitReached", Meaning::Rejected, "delete an address that is not needed, or ask Azure for a higher quota in this region"),
    rule("StaticPublicIPCountLimitReached", Meaning::Rejected, "delete a static address that is not needed, or ask Azure for a higher quota in this region"),
    rule("PublicIPAddressCannotBeDeleted", Meaning::Rejected, "take the address off the resource that uses it first"),
    rule("PublicIPAddressInUse", Meaning::Rejected, "take the address off the resource that uses it, or name another one"),
    // A label.
    rule("DnsRecordInUse", Meaning::Rejected, "choose another label, set label_scope, or free the label where it is held; an address left over in your own subscription counts too"),
    rule("DnsRecordIsReserved", Meaning::Rejected, "the label is kept for a while after its last use; wait, choose another, or set label_scope"),
    rule("DomainNameLabelReserved", Meaning::Rejected, "choose a label without a product or company name such as azure, windows or login"),
    rule("InvalidDomainNameLabel", Meaning::Rejected, "use 3 to 63 lower-case letters, digits and hyphens, beginning with a letter and ending with a letter or digit"),
    rule("ReverseFqdnDoesNotBelongToSubscription", Meaning::Rejected, "the address's reverse name must lead to it first; clear reverseFqdn, change the label, then set it again"),
    // Operations that meet.
    rule("ReferencedResourceNotProvisioned", Meaning::Rejected, "repair the resource that the message names: its last operation failed, and writing it again unchanged is enough"),
    rule("AnotherOperationInProgress", Meaning::Busy, "another operation on the resource is under way; the next round tries again"),
    rule("RetryableError", Meaning::Busy, "Azure asks to try again; the next round does"),
    rule("RetryableErrorDueToAnotherOperation", Meaning::Busy, "another operation on the resource is under way; the next round tries again"),
    rule("CanceledAndSupersededDueToAnotherOperation", Meaning::Stale, "somebody else wrote the same resource a moment later; the next round looks at what stands there now"),
    rule("OperationPreempted", Meaning::Stale, "somebody else wrote the same resource a moment later; the next round looks at what stands there now"),
    rule("PreconditionFailed", Meaning::Stale, "somebody else wrote the same resource; the next round looks at what stands there now"),
    rule("TooManyRequests", Meaning::Busy, "the subscription's quota of requests is used up; the next round tries again"),
    rule("SubscriptionRequestsThrottled", Meaning::Busy, "the subscription's quota of requests is used up; the next round tries again"),
    rule("ServerTimeout", Meaning::Broken, "Azure was too slow to answer; the next round tries again"),
    // Permissions.
    rule("AuthorizationFailed", Meaning::Denied, "grant this identity the role that the message asks for, on the scope that it names"),
    rule("LinkedAuthorizationFailed", Meaning::Denied, "grant this identity the join action on the linked resource that the message names"),
    rule("InvalidAuthenticationToken", Meaning::Denied, "the token is not one for Azure Resource Manager of this cloud; check the cloud and the audience"),
    rule("InvalidAuthenticationTokenTenant", Meaning::Denied, "the token is of another tenant than the subscription; check tenant and subscription"),
    rule("InvalidAuthenticationTokenAudience", Meaning::Denied, "the token is for another service; check the cloud and the audience"),
    rule("ExpiredAuthenticationToken", Meaning::Denied, "get a new token; a credential of another kind renews its own"),
    rule("AuthenticationFailed", Meaning::Denied, "check the credential: its tenant, its application, and whether its secret or certificate has expired"),
    rule("AuthenticationFailedMissingToken", Meaning::Denied, "check the credential: no token came with the request"),
    rule("RequestDisallowedByPolicy", Meaning::Denied, "a policy of the subscription forbids it; ask for an exemption or change what the message names"),
    rule("ScopeLocked", Meaning::Denied, "remove the lock that the message names, or leave the resource alone with manage = false"),
    rule("ReadOnlyDisabledSubscription", Meaning::Denied, "the subscription is disabled and can only be read; enable it again"),
    // Places.
    rule("SubscriptionNotFound", Meaning::Denied, "check the subscription; Azure says so too when this identity may see nothing in it"),
    rule("InvalidSubscriptionId", Meaning::Rejected, "check the subscription: it is a UUID"),
    rule("ResourceGroupNotFound", Meaning::Missing, "create the resource group, or name the one that exists"),
    rule("ResourceNotFound", Meaning::Missing, "it is gone, or stands in another resource group; the next round looks again"),
    rule("ParentResourceNotFound", Meaning::Missing, "the zone is not in this resource group; check the account's resource_group and subscription"),
    rule("LocationNotAvailableForResourceType", Meaning::Rejected, "check the location; it is written as in westeurope"),
    rule("InvalidResourceLocation", Meaning::Rejected, "the resource exists in another location; name that one"),
    rule("MissingSubscriptionRegistration", Meaning::Rejected, "register the provider: az provider register --namespace Microsoft.Network"),
    rule("NoRegisteredProviderFound", Meaning::Rejected, "the location or the API version is not offered; check the location and the cloud"),
    rule("InvalidResourceReference", Meaning::Rejected, "a resource that is referred to does not exist; create it first"),
    // Azure DNS.
    rule("CannotCreateRecordDueToCNameNamingRestriction", Meaning::Rejected, "a CNAME stands alone at its name; remove or rename the other records there"),
    rule("NotFound", Meaning::Missing, "it is not there; the next round looks again"),
];

/// What a message says where its code says nothing, in lower case.
#[rustfmt::skip]
const PHRASES: &[Rule] = &[
    rule("operation is pending", Meaning::Busy, "another operation on the record set is under way; the next round tries again"),
    rule("locked by record set", Meaning::Busy, "another operation on the record set is under way; the next round tries again"),
    rule("cname record could not be created because another record", Meaning::Rejected, "a CNAME stands alone at its name; remove or rename the other records there"),
    rule("because a cname record with the same name already exists", Meaning::Rejected, "a CNAME stands alone at its name; remove it first"),
    rule("was not satisfied", Meaning::Stale, "somebody else wrote the same record set; the next round looks at what stands there now"),
    rule("precondition failed", Meaning::Stale, "somebody else wrote the same resource; the next round looks at what stands there now"),
    rule("the domain name '", Meaning::Rejected, "check the name; Azure DNS does not take it"),
];

#[cfg(test)]
mod tests;
