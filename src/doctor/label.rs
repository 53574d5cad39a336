//! Whether each endpoint's label gives its address at the label's own servers.

use futures::future::join_all;

use super::{Doctor, Looked};
use crate::model::checkup::{Check, Health, Topic};
use crate::model::endpoint::{Endpoint, PublicIp};
use crate::model::record::RecordType;
use crate::model::state::{LabelHolder, Seen};
use crate::model::verify::Said;
use crate::resolver::{Question, Via};

impl Doctor {
    /// One check for each endpoint.
    pub(super) async fn labels(&self, endpoints: &[Looked<'_>]) -> Vec<Check> {
        if endpoints.is_empty() {
            let unasked = |endpoint: &Endpoint| {
                let subject = format!("{} of {}", endpoint.public_ip.label, endpoint.name);
                Check::new(
                    Topic::Label,
                    subject,
                    Health::NotAsked,
                    "there is no credential to ask Azure with",
                )
            };
            return self.desired.endpoints.values().map(unasked).collect();
        }
        join_all(endpoints.iter().map(|(endpoint, state)| async move {
            let subject = format!("{} of {}", endpoint.public_ip.label, endpoint.name);
            let check = |health, detail: String| Check::new(Topic::Label, &subject, health, detail);
            let Some(state) = state else { return super::credential::late(Topic::Label, subject) };
            match (&state.public_ip, &state.label) {
                (Seen::Unknown(why), _) => check(Health::Failed, why.clone()),
                (Seen::Present(ip), Seen::Present(LabelHolder::Stranger)) => {
                    check(Health::Failed, format!("{} is held by somebody else", endpoint.public_ip.label))
                        .next(format!("choose another label, or set label_scope; {} stays as it is", ip.id))
                }
                (Seen::Present(ip), _) => self.label(&subject, ip).await,
                (Seen::Absent, Seen::Present(LabelHolder::Stranger)) => check(
                    Health::Failed,
                    "the public IP is not there, and somebody else holds the label".into(),
                )
                .next("choose another label, or set label_scope"),
                (Seen::Absent, Seen::Unknown(why)) => check(Health::NotAsked, why.clone()),
                (Seen::Absent, Seen::Present(LabelHolder::Own(id))) => {
                    check(Health::Warning, format!("the public IP is not there; the label is held by {id}"))
                        .next("free the label there, or name that public IP")
                }
                (Seen::Absent, _) => {
                    check(Health::Ok, "the public IP is not there yet, and the label is free".into())
                }
            }
        }))
        .await
    }

    /// What the label's servers say of a public IP that is there.
    async fn label(&self, subject: &str, ip: &PublicIp) -> Check {
        let check = |health, detail: String| Check::new(Topic::Label, subject, health, detail);
        let Some(fqdn) = &ip.fqdn else {
            return check(Health::Warning, "the public IP has no label".into())
                .next("give it one: cnamed plan");
        };
        let rtype = match ip.address {
            Some(address) if address.is_ipv6() => RecordType::Aaaa,
            _ => RecordType::A,
        };
        let question = Question { name: fqdn.clone(), rtype };
        let via = match self.label_servers.as_slice() {
            [] => Via::Authority,
            servers => Via::Servers(servers.to_vec()),
        };
        let answers = self.resolver.lookup(&question, &via).await;
        let failed: Vec<String> = (answers.iter())
            .filter_map(|answer| match &answer.said {
                Said::Failed(why) => Some(format!("{}: {why}", answer.server)),
                Said::Records(_) | Said::Nothing { .. } => None,
            })
            .collect();
        let others: Vec<String> = (answers.iter())
            .filter_map(|answer| match &answer.said {
                Said::Records(reply) if reply.addresses.iter().copied().eq(ip.address) => None,
                Said::Nothing { .. } if ip.address.is_none() => None,
                Said::Failed(_) => None,
                said => Some(format!("{} says {said}", answer.server)),
            })
            .collect();
        let shown = ip.address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
        let reach = "let this host reach the label's servers, or name reachable ones in verify.label_servers";
        if answers.is_empty() || failed.len() == answers.len() {
            let why = failed.first().map_or("none is known", String::as_str);
            return check(Health::Failed, format!("no server of {fqdn} answers: {why}")).next(reach);
        }
        if let Some(other) = others.first() {
            let detail = format!("Azure says {shown} for {fqdn}; {other}");
            return check(Health::Warning, detail)
                .next("wait a minute and ask again; the label's TTL is 10 s");
        }
        if let Some(silent) = failed.first() {
            let said = answers.len() - failed.len();
            let detail = format!("{fqdn} gives {shown} at {said} of {} servers; {silent}", answers.len());
            return check(Health::Warning, detail).next(reach);
        }
        check(Health::Ok, format!("{fqdn} gives {shown} at all {} servers", answers.len()))
    }
}
