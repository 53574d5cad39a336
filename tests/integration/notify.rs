//! Telling: what is told, to whom, how often, and what becomes of it when nobody listens.

mod command;
mod commands;
mod delivery;
mod desk;
mod ledger;
mod rendering;
mod words;

use std::collections::BTreeSet;

use cnamed::model::endpoint::Handle;
use cnamed::notify::{Notice, Subscription, Topic};
use time::OffsetDateTime;

/// What stands in every URL of these tests and in nothing that is told.
pub(crate) const CANARY: &str = "CANARY-4711";

pub(crate) fn notice(topic: Topic, subject: &str, title: &str) -> Notice {
    Notice {
        at: OffsetDateTime::from_unix_timestamp(1_795_350_660).unwrap(),
        topic,
        owner: "ops-westeurope".into(),
        subject: subject.into(),
        title: title.into(),
        before: None,
        after: None,
        details: Vec::new(),
        next_step: None,
        repeats: 0,
        of: BTreeSet::new(),
    }
}

/// A notice with everything in it that a notice can have.
pub(crate) fn rich() -> Notice {
    Notice {
        before: Some("contoso-jump.westeurope.cloudapp.azure.com".into()),
        after: Some("198.51.100.7".into()),
        details: vec![
            "ns1.example.org says <nothing> & more".into(),
            "the rule cnamed_ops_rdp *stands*".into(),
        ],
        next_step: Some("cnamed status jumpstation.example.com".into()),
        repeats: 3,
        ..notice(
            Topic::Unverified,
            "jumpstation.example.com",
            "jumpstation.example.com in cf: name servers say something else",
        )
    }
}

pub(crate) fn everything(name: &str) -> Subscription {
    Subscription { name: Handle::parse(name).unwrap(), topics: Topic::ALL.into() }
}
