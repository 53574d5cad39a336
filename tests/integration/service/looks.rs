//! What happens to a label is seen at the next look, whoever else is silent.

use std::time::Duration;

use cnamed::daemon::Order;
use cnamed::journal::{Journal, Noticed, What};
use cnamed::model::endpoint::{Endpoint, Intent, PublicIp};
use cnamed::model::name::Fqdn;
use cnamed::model::record::{Data, Mode};
use cnamed::model::sight::HappeningKind;
use cnamed::model::state::Desired;
use cnamed::telemetry::snapshot::Trigger;
use tokio::time::{Instant, sleep};

use super::decisions::happenings;
use super::heard::{Heard, Mood};
use super::sim::{INTERVAL, LABEL_INTERVAL, NAME, Sim, Weather};
use super::told;
use crate::laws::world::{self, LABELS, handle};

const SECOND: Duration = Duration::from_secs(1);
/// How long a silent name server takes.
const SILENCE: Duration = Duration::from_secs(30);

async fn configured(life: &Heard, desired: Desired) {
    life.configuration.exchange(Ok(desired));
    life.order(Order::Reload).await;
    life.until("a round of the new configuration", |shown| {
        shown.last.as_ref().is_some_and(|last| last.trigger == Trigger::Reload)
    })
    .await;
    life.calm().await;
}

fn happened(life: &Heard, kind: HappeningKind) -> u64 {
    life.shown().counts.happenings.get(kind.as_str()).copied().unwrap_or_default()
}

/// Changes the address of `jump` some times, and waits each time until that is an event.
async fn every_change_is_seen_within_a_look(life: &Heard) {
    for turn in 1..6 {
        sleep(SILENCE * 5 + SECOND * turn).await;
        let before = happened(life, HappeningKind::Changed);
        life.sim.address(Some(&format!("203.0.113.{}", 90 + turn)));
        let changed = Instant::now();
        life.until("an event", |shown| shown.counts.happenings.get("changed") > Some(&before)).await;
        assert!(changed.elapsed() <= LABEL_INTERVAL + SECOND, "{turn}: {:?}", changed.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_are_silent_about_a_name_delay_no_event() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        // They are asked all the while, since nobody has come to agree.
        let old_until = Some(Instant::now() + INTERVAL * 60);
        life.servers.are(Mood { delay: SILENCE, slow: Some(NAME), old_until, ..Mood::default() });
        life.sim.address(Some("203.0.113.90"));
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        every_change_is_seen_within_a_look(&life).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn servers_of_a_label_that_are_silent_delay_no_event_of_another() {
    told(async {
        let mood = Mood { delay: SILENCE, slow: Some(LABELS[1]), ..Mood::default() };
        let life = Heard::with(Mode::Cname, mood, Journal::in_memory().unwrap());
        let mut desired = Sim::desired(Mode::Cname);
        let public_ip = world::spec(1);
        let other = Endpoint { name: handle("other"), public_ip, gateway: None, intent: Intent::Hold };
        desired.endpoints.insert(handle("other"), other);
        configured(&life, desired).await;
        assert!(life.servers.were_asked_for(LABELS[1]));
        every_change_is_seen_within_a_look(&life).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_public_ip_that_others_make_anew_is_seen_by_its_label() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let mut desired = Sim::desired(Mode::Cname);
        desired.endpoints.values_mut().for_each(|endpoint| endpoint.intent = Intent::Watch);
        configured(&life, desired).await;
        let held = life.sim.public_ip().unwrap();
        life.sim.network.remove("rg", "pip-0");
        life.until("that it is gone", |shown| shown.counts.happenings.contains_key("deleted")).await;
        sleep(INTERVAL * 10).await;
        let rounds = life.finished();
        life.until("another round", |shown| shown.counts.rounds.values().sum::<u64>() > rounds).await;

        let (known, rounds, made) = (life.entries().len(), life.finished(), Instant::now());
        let address = "203.0.113.77".parse().ok();
        let anew = PublicIp { guid: Some("another".into()), address, ..held };
        life.sim.network.put("rg", "pip-0", anew);
        life.until("an event", |shown| shown.counts.happenings.contains_key("recreated")).await;
        assert!(made.elapsed() <= LABEL_INTERVAL + SECOND, "{:?}", made.elapsed());
        assert_eq!(life.finished(), rounds + 1, "the round that the label called for");
        sleep(INTERVAL).await;
        let kinds = life.entries().into_iter().skip(known).filter_map(|entry| match entry.what {
            What::Happening { happening, .. } => Some(happening.kind),
            What::Change(_) => None,
        });
        assert_eq!(kinds.collect::<Vec<_>>(), [HappeningKind::Recreated]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_comes_back_is_seen_by_its_label_whatever_its_kind() {
    for address in ["203.0.113.8", "2001:db8::8"] {
        told(async {
            let life = Heard::begin(Mode::Cname);
            life.calm().await;
            life.sim.address(Some(address));
            // Until a round finds it, where the one before was of the other kind.
            sleep(INTERVAL * 5).await;
            life.sim.address(None);
            life.until("that it is released", |shown| shown.counts.happenings.contains_key("released")).await;
            life.calm().await;
            let released = life.entries().len();
            let before = Instant::now();
            life.sim.address(Some(address));
            life.until("an event", |shown| shown.counts.happenings.contains_key("assigned")).await;
            assert!(before.elapsed() <= LABEL_INTERVAL + SECOND, "{address}: {:?}", before.elapsed());
            let noticed = life.entries().into_iter().skip(released).map(|entry| match entry.what {
                What::Happening { happening, noticed, .. } => (happening.after, noticed),
                What::Change(change) => panic!("{change:?}"),
            });
            assert_eq!(noticed.collect::<Vec<_>>(), [(Some(address.to_owned()), Noticed::Label)]);
        })
        .await;
    }
}

/// What is still being asked when a label moves was asked of what stood there before.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_an_event_is_no_agreement_to_it_before_its_round() {
    told(async {
        let life = Heard::begin(Mode::Address);
        life.calm().await;
        let old = Mood { old_until: Some(Instant::now() + SECOND * 3600), ..Mood::default() };
        life.servers.are(old);
        life.sim.address(Some("203.0.113.2"));
        life.until("an event", |shown| shown.counts.happenings.contains_key("changed")).await;
        sleep(SECOND * 3).await;
        // They come to agree to the first; whoever asks hears of it a while later,
        life.servers.are(Mood { delay: SECOND, slow: Some(NAME), ..Mood::default() });
        sleep(SECOND * 3 / 2).await;
        // and no round ends before that.
        for account in ["azure", "cf", "network"] {
            life.sim.weather(account, Weather::Slow(SECOND * 4));
        }
        life.sim.address(Some("203.0.113.3"));
        life.until("another event", |shown| shown.counts.happenings["changed"] == 2).await;
        let before = life.finished();
        sleep(SECOND * 6).await;
        assert_eq!(life.finished(), before, "its round is under way");
        let agreed = life.agreed(|what| {
            matches!(what, What::Happening { happening, .. } if happening.after.as_deref() == Some("203.0.113.3"))
        });
        assert_eq!(agreed, [[""; 0]], "nothing was written for it yet");
    })
    .await;
}

/// A label that gives nothing any more may have moved, and its address be where it was.
#[tokio::test(start_paused = true)]
async fn a_label_that_moves_is_told_as_that_alone_and_names_follow_it() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let moved = Fqdn::parse("moved.westeurope.cloudapp.azure.com").unwrap();
        let label = Some("moved".parse().unwrap());
        life.sim.edit(|ip| PublicIp { fqdn: Some(moved.clone()), label, ..ip });
        sleep(LABEL_INTERVAL + INTERVAL).await;
        assert_eq!(happenings(&life), [(HappeningKind::LabelMoved, Noticed::Label)]);
        for account in ["azure", "cf"] {
            assert_eq!(life.sim.data(account, NAME), Some(Data::Cname(moved.clone())), "{account}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_what_azure_said_last_and_not_what_a_look_has_seen_since() {
    told(async {
        let life = Heard::begin(Mode::Cname);
        life.calm().await;
        let was = life.sim.public_ip().unwrap().address.unwrap().to_string();
        let guid = Some("another".to_owned());
        life.sim.edit(|ip| PublicIp { guid, address: Some("203.0.113.9".parse().unwrap()), ..ip });
        sleep(LABEL_INTERVAL + INTERVAL).await;
        let told: Vec<_> = (life.entries().into_iter())
            .filter_map(|entry| match entry.what {
                What::Happening { happening, .. } => Some(happening.to_string()),
                What::Change(_) => None,
            })
            .collect();
        assert_eq!(
            told,
            [
                format!("the address changed: {was} → 203.0.113.9"),
                format!("the public IP was created anew: address {was} → 203.0.113.9"),
            ]
        );
    })
    .await;
}
