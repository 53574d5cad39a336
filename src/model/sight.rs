//! What is remembered of an endpoint between two looks, and what happened to its address since.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{DnsLabel, Fqdn};
use super::state::{EndpointState, LabelHolder, Seen};

/// The last certain look at an endpoint. What could not be read changes nothing in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Whether the public IP was there.
    pub exists: bool,
    /// Azure's id of this very resource (`resourceGuid`): another one of the same name has another. Kept while
    /// there is none, so that the next one is known for another.
    pub guid: Option<String>,
    /// Its label's name. Kept while the public IP is gone: whoever makes it anew makes the name answer again.
    pub fqdn: Option<Fqdn>,
    /// Its address; none while released.
    pub address: Option<IpAddr>,
    /// Another address, which its label has given since and which was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<IpAddr>,
    /// While it has no address, whether the one before was of IPv6: by that type of question the next one will show.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_six: bool,
    /// Whether somebody else held the wanted label; `None` while that was never known.
    pub stranger: Option<bool>,
}

/// Something that happened to an endpoint's address or label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Happening {
    /// What happened.
    pub kind: HappeningKind,
    /// What stood there.
    pub before: Option<String>,
    /// What stands there now.
    pub after: Option<String>,
}

/// See [`Happening`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HappeningKind {
    /// The public IP is gone.
    Deleted,
    /// It is there for the first time, or another resource stands in its place.
    Recreated,
    /// The name that its label gives is another.
    LabelMoved,
    /// Somebody else holds the wanted label.
    LabelTaken,
    /// It has no address any more.
    Released,
    /// It has an address again.
    Assigned,
    /// It has another address.
    Changed,
}

impl Sight {
    /// What a look tells; `None` when the public IP could not be read.
    #[must_use]
    pub fn of(state: &EndpointState) -> Option<Self> {
        let stranger = match &state.label {
            Seen::Present(holder) => Some(*holder == LabelHolder::Stranger),
            Seen::Absent => Some(false),
            Seen::Unknown(_) => None,
        };
        match &state.public_ip {
            Seen::Present(ip) => Some(Self {
                exists: true,
                guid: ip.guid.clone(),
                fqdn: ip.fqdn.clone(),
                address: ip.address,
                shown: None,
                was_six: false,
                stranger,
            }),
            Seen::Absent => Some(Self { stranger, ..Self::default() }),
            Seen::Unknown(_) => None,
        }
    }

    /// The address that was told last.
    #[must_use]
    pub fn told(&self) -> Option<IpAddr> {
        self.shown.or(self.address)
    }

    /// Whether its address is of IPv6, or was while it has none.
    #[must_use]
    pub fn is_six(&self) -> bool {
        self.told().map_or(self.was_six, |address| address.is_ipv6())
    }

    /// The name that Azure gives `label` where the endpoint is, as far as that is known.
    fn name_of(&self, label: &DnsLabel) -> String {
        let rest = self.fqdn.iter().flat_map(|fqdn| fqdn.labels().skip(1));
        std::iter::once(label.as_str()).chain(rest).collect::<Vec<_>>().join(".")
    }

    /// This look, remembering what `earlier` knew and this one cannot tell.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        if self.guid.is_none() {
            self.guid.clone_from(&earlier.guid);
        }
        self.stranger = self.stranger.or(earlier.stranger);
        self.was_six = self.told().is_none() && earlier.is_six();
        if !self.exists {
            self.fqdn.clone_from(&earlier.fqdn);
        }
        self
    }

    /// What happened between `earlier` and this look, the most telling first, to an endpoint that shall have the label
    /// `wanted`, which need not be the one that it has.
    #[must_use]
    pub fn since(&self, earlier: &Self, wanted: &DnsLabel) -> Vec<Happening> {
        let mut happenings = Vec::new();
        let text = |address: &Option<IpAddr>| address.map(|address| address.to_string());
        let mut tell = |kind, before, after| happenings.push(Happening { kind, before, after });
        let name = |sight: &Self| sight.fqdn.as_ref().map(ToString::to_string);
        if self.stranger == Some(true) && earlier.stranger != Some(true) {
            tell(HappeningKind::LabelTaken, Some(earlier.name_of(wanted)), None);
        }
        let another = matches!((&earlier.guid, &self.guid), (Some(was), Some(is)) if was != is);
        match (earlier.exists, self.exists) {
            (true, false) => {
                tell(HappeningKind::Deleted, text(&earlier.address), None);
                return happenings;
            }
            (false, false) => return happenings,
            (false, true) => tell(HappeningKind::Recreated, text(&earlier.address), text(&self.address)),
            (true, true) if another => {
                tell(HappeningKind::Recreated, text(&earlier.address), text(&self.address));
            }
            (true, true) => {}
        }
        if earlier.exists && earlier.fqdn != self.fqdn {
            tell(HappeningKind::LabelMoved, name(earlier), name(self));
        }
        if earlier.exists && !another {
            let kind = match (earlier.told(), self.address) {
                (Some(_), None) => Some(HappeningKind::Released),
                (None, Some(_)) => Some(HappeningKind::Assigned),
                (Some(was), Some(is)) if was != is => Some(HappeningKind::Changed),
                _ => None,
            };
            if let Some(kind) = kind {
                tell(kind, text(&earlier.told()), text(&self.address));
            }
        }
        happenings
    }
}

impl HappeningKind {
    /// As JSON and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Recreated => "recreated",
            Self::LabelMoved => "label-moved",
            Self::LabelTaken => "label-taken",
            Self::Released => "released",
            Self::Assigned => "assigned",
            Self::Changed => "changed",
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.as_deref().unwrap_or("none");
        let after = self.after.as_deref().unwrap_or("none");
        match self.kind {
            HappeningKind::Deleted => write!(f, "the public IP is gone; its address was {before}"),
            HappeningKind::Recreated if before == after => {
                write!(f, "the public IP was created anew, with the address {after}")
            }
            HappeningKind::Recreated => {
                write!(f, "the public IP was created anew: address {before} → {after}")
            }
            HappeningKind::LabelMoved => write!(f, "the label moved: {before} → {after}"),
            HappeningKind::LabelTaken => {
                write!(f, "the label {before} is held by somebody else, or kept back after a deletion")
            }
            HappeningKind::Released => write!(f, "the address {before} was released"),
            HappeningKind::Assigned => write!(f, "the address {after} was assigned"),
            HappeningKind::Changed => write!(f, "the address changed: {before} → {after}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(guid: &str, address: Option<&str>) -> Sight {
        Sight {
            exists: true,
            guid: Some(guid.to_owned()),
            fqdn: Some(Fqdn::parse("jump.westeurope.cloudapp.azure.com").unwrap()),
            address: address.map(|text| text.parse().unwrap()),
            stranger: Some(false),
            shown: None,
            was_six: false,
        }
    }

    fn since(later: &Sight, earlier: &Sight) -> Vec<Happening> {
        later.since(earlier, &DnsLabel::parse("jump").unwrap())
    }

    fn kinds(earlier: &Sight, later: &Sight) -> Vec<HappeningKind> {
        since(later, earlier).into_iter().map(|happening| happening.kind).collect()
    }

    #[test]
    fn an_address_comes_goes_and_changes() {
        let (up, down, other) =
            (sight("a", Some("192.0.2.1")), sight("a", None), sight("a", Some("192.0.2.2")));
        assert_eq!(kinds(&up, &up), []);
        assert_eq!(kinds(&up, &down), [HappeningKind::Released]);
        assert_eq!(kinds(&down, &up), [HappeningKind::Assigned]);
        assert_eq!(kinds(&up, &other), [HappeningKind::Changed]);
        assert_eq!(since(&other, &up)[0].to_string(), "the address changed: 192.0.2.1 → 192.0.2.2");
    }

    #[test]
    fn the_kind_of_an_address_is_remembered_while_there_is_none() {
        let (six, four) = (sight("a", Some("2001:db8::1")), sight("a", Some("192.0.2.1")));
        let released = sight("a", None).after(&six);
        assert!(released.is_six() && released.clone().after(&released).is_six(), "however long");
        assert!(Sight::default().after(&released).is_six(), "and while the public IP is gone");
        let written = serde_json::to_string(&released).unwrap();
        assert!(serde_json::from_str::<Sight>(&written).unwrap().is_six(), "over a restart: {written}");
        let back = four.clone().after(&released);
        assert_eq!(back, four);
        assert!(!sight("a", None).after(&back).is_six());
        let shown = Sight { shown: six.address, ..released };
        assert!(sight("a", None).after(&shown).is_six());
    }

    #[test]
    fn what_a_label_has_shown_is_not_told_again_and_is_no_address_that_was_there_before() {
        let was = Sight { shown: Some("192.0.2.2".parse().unwrap()), ..sight("a", Some("192.0.2.1")) };
        assert_eq!(kinds(&was, &sight("a", Some("192.0.2.2"))), []);
        let back = since(&sight("a", Some("192.0.2.1")), &was);
        assert_eq!(back[0].to_string(), "the address changed: 192.0.2.2 → 192.0.2.1");
        let again = since(&sight("a", None), &was);
        assert_eq!(again[0].to_string(), "the address 192.0.2.2 was released");
        let another = since(&sight("b", Some("192.0.2.2")), &was);
        assert_eq!(another[0].to_string(), "the public IP was created anew: address 192.0.2.1 → 192.0.2.2");
        let gone = since(&Sight::default().after(&was), &was);
        assert_eq!(gone[0].to_string(), "the public IP is gone; its address was 192.0.2.1");
    }

    #[test]
    fn another_resource_of_the_same_name_is_told_also_after_a_gap() {
        let (was, is) = (sight("a", Some("192.0.2.1")), sight("b", Some("192.0.2.1")));
        assert_eq!(kinds(&was, &is), [HappeningKind::Recreated]);
        let told = since(&is, &was)[0].to_string();
        assert_eq!(told, "the public IP was created anew, with the address 192.0.2.1");
        let gone = Sight::default().after(&was);
        assert_eq!(kinds(&was, &gone), [HappeningKind::Deleted]);
        assert_eq!(kinds(&gone, &is), [HappeningKind::Recreated]);
        assert_eq!(kinds(&gone, &gone), []);
    }

    #[test]
    fn a_label_that_moves_or_is_taken_is_told_once() {
        let was = sight("a", Some("192.0.2.1"));
        let moved =
            Sight { fqdn: Some(Fqdn::parse("other.westeurope.cloudapp.azure.com").unwrap()), ..was.clone() };
        assert_eq!(kinds(&was, &moved), [HappeningKind::LabelMoved]);
        let lost = since(&Sight { stranger: Some(true), ..moved.clone() }, &moved);
        assert_eq!(lost[0].before.as_deref(), Some("jump.westeurope.cloudapp.azure.com"), "the wanted one");
        let nameless = since(&Sight { stranger: Some(true), ..Sight::default() }, &Sight::default());
        assert_eq!(nameless[0].before.as_deref(), Some("jump"), "as far as it is known");
        let taken = Sight { stranger: Some(true), ..Sight::default() }.after(&was);
        assert_eq!(kinds(&was, &taken), [HappeningKind::LabelTaken, HappeningKind::Deleted]);
        assert_eq!(kinds(&taken, &taken), []);
    }

    #[test]
    fn whoever_holds_a_label_holds_it_on_while_nobody_can_say() {
        let look = |label| {
            let state = EndpointState { public_ip: Seen::Absent, label, gateway: None };
            Sight::of(&state).unwrap()
        };
        let was = look(Seen::Present(LabelHolder::Nobody));
        let taken = look(Seen::Present(LabelHolder::Stranger)).after(&was);
        assert_eq!(kinds(&was, &taken), [HappeningKind::LabelTaken]);
        let unread = look(Seen::Unknown("throttled".into())).after(&taken);
        assert_eq!(kinds(&taken, &unread), []);
        let still = look(Seen::Present(LabelHolder::Stranger)).after(&unread);
        assert_eq!(kinds(&unread, &still), []);
        // Given back and taken again is another story.
        let free = look(Seen::Present(LabelHolder::Nobody)).after(&still);
        let again = look(Seen::Present(LabelHolder::Stranger)).after(&free);
        assert_eq!(kinds(&free, &again), [HappeningKind::LabelTaken]);
    }

    #[test]
    fn the_name_of_a_label_is_remembered_while_the_public_ip_is_gone_and_no_longer() {
        let was = sight("a", Some("192.0.2.1"));
        let gone = Sight::default().after(&was).after(&was);
        assert_eq!(gone.fqdn, was.fqdn);
        let nameless = Sight { fqdn: None, ..was.clone() };
        assert_eq!(nameless.clone().after(&was), nameless);
        assert_eq!(kinds(&was, &nameless), [HappeningKind::LabelMoved]);
        assert_eq!(kinds(&gone, &Sight { guid: Some("b".into()), ..nameless }), [HappeningKind::Recreated]);
    }
}
