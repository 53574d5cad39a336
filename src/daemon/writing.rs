//! The names that are being written: what stands there is known to nobody until the provider has answered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::patience::{MOST_LIMIT, locked};
use crate::model::name::Fqdn;

/// The names of one account that are being written, by how many, and those that were, with the end of it.
#[derive(Debug, Default)]
pub(super) struct Writing(Mutex<BTreeMap<Fqdn, (usize, Instant)>>);

/// Names that are being written for as long as this is kept.
pub(super) struct Begun {
    of: Arc<Writing>,
    names: Vec<Fqdn>,
}

impl Writing {
    /// Those that were being written at any moment since then: whoever has read meanwhile may have seen what stood there
    /// before.
    pub(super) fn since(&self, then: Instant) -> Vec<Fqdn> {
        let writing = locked(&self.0);
        let since = writing.iter().filter(|(_, (count, ended))| *count > 0 || *ended > then);
        since.map(|(name, _)| name.clone()).collect()
    }

    /// A write to `names` begins.
    #[must_use]
    pub(super) fn begin<'n>(self: &Arc<Self>, names: impl Iterator<Item = &'n Fqdn>) -> Begun {
        let begun = Begun { of: Arc::clone(self), names: names.cloned().collect() };
        let mut writing = locked(&self.0);
        // No read takes longer.
        writing.retain(|_, (count, ended)| *count > 0 || ended.elapsed() <= MOST_LIMIT);
        for name in &begun.names {
            writing.entry(name.clone()).or_insert((0, Instant::now())).0 += 1;
        }
        begun
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut writing = locked(&self.of.0);
        for name in &self.names {
            if let Some((count, ended)) = writing.get_mut(name) {
                (*count, *ended) = (*count - 1, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;
    use crate::daemon::patient::tests::zone;
    use crate::daemon::patient::{Patiences, PatientDns};
    use crate::model::endpoint::Handle;
    use crate::model::plan::RecordChange;
    use crate::model::record::{Owner, RecordSet};
    use crate::model::state::{RecordKey, Seen, Zone};
    use crate::provider::{DnsProvider, Error, Found, Look};

    const SECOND: Duration = Duration::from_secs(1);

    /// An account at whose names nothing stands, and which answers when it is let.
    #[derive(Debug)]
    struct Gated {
        account: Handle,
        reads: Mutex<VecDeque<oneshot::Receiver<()>>>,
        writes: Mutex<VecDeque<oneshot::Receiver<()>>>,
    }

    /// Holds up the next that comes.
    fn hold(gate: &Mutex<VecDeque<oneshot::Receiver<()>>>) -> oneshot::Sender<()> {
        let (open, opened) = oneshot::channel();
        locked(gate).push_back(opened);
        open
    }

    async fn pass(gate: &Mutex<VecDeque<oneshot::Receiver<()>>>) {
        let held = locked(gate).pop_front();
        if let Some(opened) = held {
            let _ = opened.await;
        }
    }

    #[async_trait]
    impl DnsProvider for Gated {
        fn account(&self) -> &Handle {
            &self.account
        }

        async fn zones(&self) -> Result<Vec<Zone>, Error> {
            Ok(vec![zone("z")])
        }

        fn forget_zones(&self) {}

        async fn listed_servers(&self, _: &Zone) -> Result<Vec<String>, Error> {
            Ok(Vec::new())
        }

        async fn observe(&self, _: &Zone, look: &Look) -> Result<Found, Error> {
            pass(&self.reads).await;
            Ok(look.names.iter().map(|name| (name.clone(), Seen::Absent)).collect())
        }

        async fn apply(
            &self,
            _: &Zone,
            _: &Owner,
            changes: &[RecordChange],
        ) -> Vec<Result<Vec<RecordSet>, Error>> {
            pass(&self.writes).await;
            changes.iter().map(|_| Ok(Vec::new())).collect()
        }
    }

    fn name(text: &str) -> Fqdn {
        Fqdn::parse(text).unwrap()
    }

    fn account() -> (Arc<Gated>, PatientDns) {
        let account = Handle::parse("cf").unwrap();
        let inner = Arc::new(Gated { account, reads: Mutex::default(), writes: Mutex::default() });
        let patient = PatientDns::new(Arc::clone(&inner) as Arc<dyn DnsProvider>, &mut Patiences::default());
        (inner, patient)
    }

    async fn write(patient: &PatientDns, text: &str) {
        let key = RecordKey { name: name(text), account: Handle::parse("cf").unwrap() };
        let change = RecordChange { key, before: Vec::new(), after: None };
        patient.apply(&zone("z"), &Owner::parse("ops").unwrap(), &[change]).await;
    }

    /// The names of which nothing is known, of two that are looked at.
    async fn unknown(patient: &PatientDns) -> Vec<String> {
        let look = Look { names: [name("a.example.com"), name("b.example.com")].into(), marked: None };
        let found = patient.observe(&zone("z"), &look).await.unwrap();
        assert_eq!(found.len(), 2);
        let unknown = found.into_iter().filter(|(_, seen)| seen.unknown().is_some());
        unknown.map(|(name, _)| name.to_string()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_of_a_name_that_was_written_while_it_was_read() {
        // Begun before the read or after it, and ended before its answer or after that.
        for (begins_first, ends_first) in [(true, true), (true, false), (false, true), (false, false)] {
            let (inner, patient) = account();
            let (read, written) = (hold(&inner.reads), hold(&inner.writes));
            let mut reading = Box::pin(unknown(&patient));
            let mut writing = Box::pin(write(&patient, "a.example.com"));
            if begins_first {
                assert!(futures::poll!(&mut writing).is_pending());
            }
            assert!(futures::poll!(&mut reading).is_pending());
            assert!(futures::poll!(&mut writing).is_pending());
            sleep(SECOND).await;
            if ends_first {
                drop(written);
                writing.await;
                drop(read);
                assert_eq!(reading.await, ["a.example.com"], "{begins_first}: what it saw may be of before");
            } else {
                drop(read);
                assert_eq!(reading.await, ["a.example.com"], "{begins_first}");
                drop(written);
                writing.await;
            }
            assert_eq!(unknown(&patient).await, Vec::<String>::new(), "it is over");
        }
    }

    #[tokio::test]
    async fn a_name_that_two_write_is_written_until_both_have_ended_or_were_given_up() {
        let (inner, patient) = account();
        let (first, second) = (hold(&inner.writes), hold(&inner.writes));
        let mut one = Box::pin(write(&patient, "a.example.com"));
        let mut other = Box::pin(write(&patient, "a.example.com"));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        drop(first);
        one.await;
        assert_eq!(unknown(&patient).await, ["a.example.com"]);
        drop(other);
        assert_eq!(unknown(&patient).await, Vec::<String>::new());
        drop(second);
    }
}
