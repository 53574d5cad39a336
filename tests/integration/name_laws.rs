//! Laws of names, over texts that nobody would think of.

use cnamed::model::name::{Apexes, DnsLabel, Fqdn, ZoneName};
use proptest::prelude::*;

/// Texts near the border between names and nonsense, and plain nonsense.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9_.*-]{0,20}",
        "([a-zäßıİ。．ｅ\u{200d}\u{ad}-]{0,8}\\.){0,4}[a-z]{0,4}\\.?",
        "(xn--[a-z0-9-]{0,12}\\.){1,3}[a-z]{2}",
        "([a-z]{60,66}\\.){1,5}[a-z]{2,4}",
    ]
}

fn any_name() -> impl Strategy<Value = Fqdn> {
    "([a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?\\.){1,5}[a-z]{2,6}"
        .prop_filter_map("not a name", |text| Fqdn::parse(&text).ok())
}

fn zone(text: &str) -> ZoneName {
    ZoneName::parse(text).unwrap()
}

#[test]
fn a_zone_holds_its_apex_and_what_is_below_and_no_neighbour() {
    let example = zone("example.com");
    let holds = |text: &str| example.holds(&Fqdn::parse(text).unwrap());
    assert!(holds("example.com") && holds("a.b.EXAMPLE.com."));
    assert!(!holds("notexample.com") && !holds("com.example") && !holds("example.com.net"));
    assert_eq!(example.relative(&Fqdn::parse("a.b.example.com").unwrap()).as_deref(), Some("a.b"));
    assert_eq!(example.relative(&Fqdn::parse("example.com").unwrap()).as_deref(), Some("@"));
}

#[test]
fn names_that_differ_in_writing_only_are_one() {
    let same = ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example", "XN--BCHER-KVA.Example"];
    for text in same {
        assert_eq!(Fqdn::parse(text).unwrap().as_str(), "xn--bcher-kva.example", "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_parsing_panic_and_every_name_obeys_the_limits(text in any_text()) {
        let _ = DnsLabel::parse(&text);
        let _ = ZoneName::parse(&text);
        match Fqdn::parse(&text) {
            Ok(name) => {
                prop_assert!(name.as_str().len() <= 253 && name.labels().count() >= 2);
                for label in name.labels() {
                    prop_assert!((1..=63).contains(&label.len()), "{:?}", label);
                    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
                    prop_assert!(label.bytes().all(plain), "{:?}", label);
                    prop_assert!(!label.starts_with('-') && !label.ends_with('-'), "{:?}", label);
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn the_canonical_form_is_a_fixpoint(text in any_text()) {
        if let Ok(name) = Fqdn::parse(&text) {
            prop_assert_eq!(Fqdn::parse(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(Fqdn::parse(&name.absolute()), Ok(name.clone()));
            prop_assert_eq!(Fqdn::parse(&name.as_str().to_ascii_uppercase()), Ok(name.clone()));
        }
    }

    #[test]
    fn names_survive_serialisation(text in any_text()) {
        if let Ok(name) = Fqdn::parse(&text) {
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(&json, &format!("\"{}\"", name));
            prop_assert_eq!(serde_json::from_str::<Fqdn>(&json).unwrap(), name);
        }
        if let Ok(label) = DnsLabel::parse(&text) {
            let json = serde_json::to_string(&label).unwrap();
            prop_assert_eq!(serde_json::from_str::<DnsLabel>(&json).unwrap(), label);
        }
        // What does not parse does not slip in through a file either.
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<Fqdn>(&json).is_ok(), Fqdn::parse(&text).is_ok());
    }

    #[test]
    fn relative_and_absolute_undo_each_other(name in any_name()) {
        let mut apex = Some(name.clone());
        while let Some(ancestor) = apex {
            prop_assert!(name.is_within(&ancestor));
            let zone = ZoneName::parse(ancestor.as_str()).unwrap();
            let relative = zone.relative(&name).unwrap();
            prop_assert_eq!(zone.absolute(&relative), Ok(name.clone()));
            apex = ancestor.parent();
        }
    }

    #[test]
    fn the_longest_zone_wins_and_all_of_its_namesakes(
        name in any_name(),
        others in prop::collection::vec(any_name(), 0..5),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let ancestors: Vec<Fqdn> = std::iter::successors(Some(name.clone()), Fqdn::parent).collect();
        let mut zones: Vec<ZoneName> = others.iter().map(|other| zone(other.as_str())).collect();
        zones.extend(picks.iter().map(|pick| zone(pick.get(&ancestors).as_str())));
        let apexes = Apexes::new(&zones, |zone| zone);
        let found = apexes.nearest(&name);
        // By hand: the first ancestor from the name upwards that is a zone.
        let nearest = ancestors.iter().find(|ancestor| zones.iter().any(|zone| zone.apex() == *ancestor));
        let expected = zones.iter().filter(|zone| Some(zone.apex()) == nearest).count();
        prop_assert_eq!(found.len(), expected);
        prop_assert!(found.iter().all(|zone| Some(zone.apex()) == nearest));
    }
}
