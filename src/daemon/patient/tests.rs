use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::sleep;

use super::*;
use crate::model::endpoint::{Intent, PublicIpSpec};
use crate::model::gateway::Gateway;
use crate::model::name::ZoneName;
use crate::model::zone::ZoneRules;
use crate::provider::memory::{MemoryDns, MemoryNetwork};

fn endpoint(name: &str, gateway: bool) -> AtEndpoint {
    let id = |kind: &str| ResourceId::new(format!("/subscriptions/s/resourceGroups/rg/{kind}/x"));
    let gateway = gateway.then(|| Gateway {
        public_ip: id("publicIPAddresses"),
        load_balancer: id("loadBalancers"),
        nat_rules: Vec::new(),
    });
    let public_ip = PublicIpSpec::any();
    let endpoint = Endpoint { name: Handle::parse(name).unwrap(), public_ip, gateway, intent: Intent::Hold };
    AtEndpoint { of: Arc::new(MemoryNetwork::default()), endpoint, ahead: Ahead::default() }
}

pub(in crate::daemon) fn zone(id: &str) -> Zone {
    let rules = ZoneRules {
        least_ttl: 1,
        greatest_ttl: 86_400,
        automatic_ttl: false,
        alias: false,
        flattens_apex: false,
        proxying: false,
        exchanges: false,
        comment: None,
    };
    let name = ZoneName::parse("example.com").unwrap();
    Zone { name, id: id.to_owned(), name_servers: Vec::new(), rules }
}

#[test]
fn every_zone_and_every_endpoint_is_a_place_of_its_own() {
    let dns: Arc<dyn DnsProvider> = Arc::new(MemoryDns::new(Handle::parse("cf").unwrap(), Vec::new()));
    let look = || Look { names: [].into(), marked: None };
    let in_zone = |id: &str| InZone { of: Arc::clone(&dns), zone: zone(id), look: look() };
    let places = [
        Zones(Arc::clone(&dns)).place(),
        in_zone("one").place(),
        in_zone("two").place(),
        endpoint("one", false).place(),
        endpoint("two", false).place(),
    ];
    let apart: std::collections::BTreeSet<&String> = places.iter().collect();
    assert_eq!(apart.len(), places.len(), "{places:?}");
}

/// An account with a list of zones, which is remembered, and nothing in them.
#[derive(Debug)]
struct Lists {
    account: Handle,
    /// What a reading gives; `None` is that nobody answers.
    zones: Mutex<Option<Vec<Zone>>>,
    remembered: Mutex<Option<Vec<Zone>>>,
    readings: AtomicU32,
    looks: Mutex<Option<Kind>>,
}

#[async_trait]
impl DnsProvider for Lists {
    fn account(&self) -> &Handle {
        &self.account
    }

    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        if let Some(zones) = locked(&self.remembered).clone() {
            return Ok(zones);
        }
        self.readings.fetch_add(1, Ordering::Relaxed);
        let read = locked(&self.zones).clone();
        locked(&self.remembered).clone_from(&read);
        read.ok_or_else(|| Error::new(Kind::Unreachable, "list", "the zones"))
    }

    fn forget_zones(&self) {
        *locked(&self.remembered) = None;
    }

    async fn listed_servers(&self, zone: &Zone) -> Result<Vec<String>, Error> {
        Ok(zone.name_servers.clone())
    }

    async fn observe(&self, zone: &Zone, _: &Look) -> Result<Found, Error> {
        let failed = locked(&self.looks).map(|kind| Error::new(kind, "read", zone.id.as_str()));
        failed.map_or_else(|| Ok(Found::new()), Err)
    }

    async fn apply(&self, _: &Zone, _: &Owner, _: &[RecordChange]) -> Vec<Result<Vec<RecordSet>, Error>> {
        Vec::new()
    }
}

fn listing(zones: &[Zone]) -> (Arc<Lists>, PatientDns) {
    let inner = Arc::new(Lists {
        account: Handle::parse("cf").unwrap(),
        zones: Mutex::new(Some(zones.to_vec())),
        remembered: Mutex::default(),
        readings: AtomicU32::new(0),
        looks: Mutex::default(),
    });
    let patient = PatientDns::new(Arc::clone(&inner) as Arc<dyn DnsProvider>, &mut Patiences::default());
    (inner, patient)
}

#[tokio::test(start_paused = true)]
async fn zones_are_listed_anew_after_an_hour_and_not_before() {
    let (inner, patient) = listing(&[zone("old")]);
    let moved = vec![zone("new")];
    assert_eq!(patient.zones().await.unwrap(), [zone("old")]);
    *locked(&inner.zones) = Some(moved.clone());
    sleep(LISTED_FOR - Duration::from_secs(1)).await;
    assert_eq!(patient.zones().await.unwrap(), [zone("old")]);
    assert_eq!(inner.readings.load(Ordering::Relaxed), 1);
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        assert_eq!(patient.zones().await.unwrap(), moved);
    }
    assert_eq!(inner.readings.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_anew_serves_on_until_it_can() {
    let (inner, patient) = listing(&[zone("old")]);
    patient.zones().await.unwrap();
    *locked(&inner.zones) = None;
    sleep(LISTED_FOR).await;
    for _ in 0..3 {
        assert_eq!(patient.zones().await.unwrap(), [zone("old")]);
    }
    assert_eq!(inner.readings.load(Ordering::Relaxed), 2, "whoever fails is left alone");
    *locked(&inner.zones) = Some(vec![zone("new")]);
    sleep(LISTED_FOR).await;
    assert_eq!(patient.zones().await.unwrap(), [zone("new")]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_not_there_any_more_has_the_zones_listed_anew() {
    let (inner, patient) = listing(&[zone("old")]);
    let look = Look { names: [].into(), marked: None };
    for (kind, readings) in [(Kind::Unreachable, 1), (Kind::Missing, 2), (Kind::Rejected, 2)] {
        let (inner, patient) = listing(&[zone("old")]);
        patient.zones().await.unwrap();
        *locked(&inner.looks) = Some(kind);
        patient.observe(&zone("old"), &look).await.unwrap_err();
        patient.zones().await.unwrap();
        assert_eq!(inner.readings.load(Ordering::Relaxed), readings, "{kind:?}");
    }
    patient.zones().await.unwrap();
    patient.observe(&zone("old"), &look).await.unwrap();
    patient.zones().await.unwrap();
    assert_eq!(inner.readings.load(Ordering::Relaxed), 1);
}

#[test]
fn of_an_endpoint_that_is_left_alone_nothing_is_known_and_its_gateway_is_not_taken_for_absent() {
    for gateway in [false, true] {
        let (state, error) = endpoint("jump", gateway).left_alone("down");
        assert!(error.is_none(), "nobody was asked");
        assert_eq!(state.public_ip, Seen::Unknown("down".into()));
        assert_eq!(state.label, Seen::Unknown("down".into()));
        let known = state.gateway.as_ref().map(|held| held.unread().is_some());
        assert_eq!(known, gateway.then_some(true));
    }
}

#[test]
fn an_endpoint_that_was_not_seen_tells_whether_it_was_denied_and_how_long_to_wait() {
    let minute = Duration::from_secs(60);
    let of = |kind| {
        let error = Error::new(kind, "read", "pip");
        let (state, _) = endpoint("jump", false).left_alone(&error.chain());
        let outage = AtEndpoint::outage(&(state, Some(error)));
        outage.map(|outage| (outage.denied, outage.asked))
    };
    assert_eq!(of(Kind::Denied), Some((true, None)));
    assert_eq!(of(Kind::Unreachable), Some((false, None)));
    assert_eq!(of(Kind::Throttled(minute)), Some((false, Some(minute))));
    assert_eq!(of(Kind::Rejected), None);
    let late = AtEndpoint::outage(&endpoint("jump", false).late(minute)).unwrap();
    assert!(!late.denied && late.told.contains("no answer within 60 s"), "{}", late.told);
}
