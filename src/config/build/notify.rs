//! `[[notify]]`: who wants to be told.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Build;
use crate::config::at::At;
use crate::config::file::NotifyFile;
use crate::config::{Channel, NotifierKind, NotifyConfig, SecretRef, defaults};
use crate::notify::Topic;

impl Build<'_> {
    pub(super) fn notifiers(&mut self, files: &[At<NotifyFile>]) -> Option<Vec<NotifyConfig>> {
        self.names(files.iter().map(|file| file.value.name.as_ref()), "the notifier", str::eq);
        let built: Vec<_> = files.iter().map(|file| self.notifier(file)).collect();
        built.into_iter().collect()
    }

    fn notifier(&mut self, file: &At<NotifyFile>) -> Option<NotifyConfig> {
        let (table, file) = (&file.span, &file.value);
        let name = file.name.as_ref().and_then(|name| self.handle(name));
        let repeat = self.duration("repeat", file.repeat.as_ref(), defaults::REPEAT);
        let timeout = self.duration("timeout", file.timeout.as_ref(), defaults::NOTIFY_TIMEOUT);
        let kind = file.kind.as_ref()?.value;
        if kind != NotifierKind::Webhook {
            self.of_others("secret", file.secret.as_ref().map(|at| &at.span), "webhooks");
        }
        let channel = match kind {
            NotifierKind::Webhook => {
                let secret = file.secret.as_ref().map(|secret| self.secret("secret", secret));
                let url = self.url(table, file, kind);
                let secret = match secret {
                    Some(secret) => secret.map(Some),
                    None => Some(None),
                };
                url.zip(secret).map(|(url, secret)| Channel::Webhook { url, secret })
            }
            NotifierKind::Slack => self.url(table, file, kind).map(|url| Channel::Slack { url }),
            NotifierKind::Teams => self.url(table, file, kind).map(|url| Channel::Teams { url }),
            NotifierKind::Heartbeat => self.url(table, file, kind).map(|url| Channel::Heartbeat { url }),
            NotifierKind::Command => self.hook(table, file).map(|command| Channel::Command { command }),
        };
        let events = self.events(file, kind);
        Some(NotifyConfig {
            name: name?,
            channel: channel?,
            events: events?,
            repeat: repeat?,
            timeout: timeout?,
        })
    }

    fn url(&mut self, table: &Range<usize>, file: &NotifyFile, kind: NotifierKind) -> Option<SecretRef> {
        self.of_others("command", file.command.as_ref().map(|at| &at.span), "kind = \"command\"");
        if file.url.is_none() && !self.report.dropped(table, "url") {
            let problem = format!("a notifier of kind \"{}\" needs a url", kind.as_str());
            let remedy =
                "add url = { file = \"/etc/cnamed/webhook-url\" }: whoever knows the URL may post to it";
            self.report.mistake(table, problem, remedy);
        }
        file.url.as_ref().and_then(|url| self.secret("url", url))
    }

    fn hook(&mut self, table: &Range<usize>, file: &NotifyFile) -> Option<Vec<String>> {
        self.of_others("url", file.url.as_ref().map(|at| &at.span), "webhooks and heartbeats");
        let remedy = "write it as in command = [\"/usr/local/bin/on-notice\", \"argument\"]";
        let Some(command) = &file.command else {
            if !self.report.dropped(table, "command") {
                self.report.mistake(table, "a notifier of kind \"command\" needs a command", remedy);
            }
            return None;
        };
        let words: Vec<String> = command.value.iter().map(|word| word.value.clone()).collect();
        match words.first() {
            Some(program) if !program.starts_with('/') => {
                let problem = format!("\"{program}\" is not an absolute path, and no shell looks for it");
                self.report.mistake(&command.value[0].span, problem, remedy);
                None
            }
            Some(_) if words.iter().any(|word| word.contains('\0')) => {
                self.report.mistake(&command.span, "no program takes an argument with a NUL in it", remedy);
                None
            }
            Some(_) => Some(words),
            None => {
                self.report.mistake(&command.span, "`command` is empty", remedy);
                None
            }
        }
    }

    fn events(&mut self, file: &NotifyFile, kind: NotifierKind) -> Option<BTreeSet<Topic>> {
        let Some(events) = &file.events else {
            return Some(if kind == NotifierKind::Heartbeat {
                BTreeSet::new()
            } else {
                defaults::EVENTS.into()
            });
        };
        if kind == NotifierKind::Heartbeat {
            let problem = "a heartbeat hears of every round, and of nothing else";
            self.report.mistake(&events.span, problem, "take `events` out, or add another notifier for them");
            return None;
        }
        if events.value.is_empty() && !self.report.dropped(&events.span, crate::config::shape::ANY) {
            self.report.mistake(&events.span, "`events` is empty", "name at least one, or leave the key out");
            return None;
        }
        let topics: BTreeSet<Topic> = events.value.iter().map(|event| event.value).collect();
        let troubles = [Topic::Failure, Topic::Refusal, Topic::Unverified];
        if topics.contains(&Topic::Recovery) && !troubles.iter().any(|topic| topics.contains(topic)) {
            let problem = "`recovery` has no effect: it tells that something told before is over";
            self.report.warning(&events.span, problem, "add \"failure\", \"refusal\" or \"unverified\"");
        }
        Some(topics)
    }

    fn of_others(&mut self, key: &str, given: Option<&Range<usize>>, whose: &str) {
        if let Some(span) = given {
            let problem = format!("`{key}` is for {whose}");
            self.report.mistake(span, problem, "take it out, or change `kind`");
        }
    }
}
