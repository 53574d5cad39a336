//! Slack, through an incoming webhook (docs.slack.dev, "Sending messages using incoming webhooks").

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::address::Address;
use super::hook::Hook;
use super::text::{change, clip, footer, repeats};
use super::{Notice, Notifier, Subscription, Topic, Undelivered};
use crate::model::endpoint::Handle;
use crate::provider::http::Http;

/// Posts a message of blocks, with a line of text for where blocks are not shown.
#[derive(Debug)]
pub struct Slack {
    subscription: Subscription,
    hook: Hook,
}

impl Slack {
    /// Posts to `address`.
    #[must_use]
    pub fn new(subscription: Subscription, http: Arc<Http>, address: Address, timeout: Duration) -> Self {
        Self { subscription, hook: Hook::new(http, address, timeout) }
    }
}

#[async_trait]
impl Notifier for Slack {
    fn name(&self) -> &Handle {
        &self.subscription.name
    }

    fn wants(&self, topic: Topic) -> bool {
        self.subscription.wants(topic)
    }

    async fn tell(&self, notice: &Notice) -> Result<(), Undelivered> {
        self.hook.say(&message(notice)).await
    }
}

/// The message: what happened, what it was, the details, the next step, and last who says so and when.
#[must_use]
pub fn message(notice: &Notice) -> Value {
    let header = clip(&notice.title, HEADER);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": header, "emoji": false}
    })];
    let mut lines = Vec::new();
    if header != notice.title {
        lines.push(notice.title.clone());
    }
    lines.extend(change(notice));
    lines.extend(notice.details.iter().cloned());
    lines.extend(repeats(notice));
    blocks.extend(paragraphs(&lines).into_iter().take(SECTIONS).map(section));
    if let Some(step) = &notice.next_step {
        blocks.push(section(format!("*Next:* {}", escaped(&clip(step, SECTION / 5 - 20)))));
    }
    let footer = escaped(&clip(&footer(notice), SECTION / 5));
    blocks.push(json!({
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": footer, "verbatim": true}]
    }));
    json!({"text": escaped(&clip(&notice.title, SECTION / 5)), "blocks": blocks})
}

/// `verbatim` keeps Slack from making links of names, and mentions of words.
fn section(text: String) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// The lines, escaped, as few texts as hold them; none is longer than a section may be.
fn paragraphs(lines: &[String]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for line in lines {
        // Escaped, a character is five at most.
        let line = escaped(&clip(line, SECTION / 5));
        match texts.last_mut() {
            Some(text) if text.chars().count() + 1 + line.chars().count() <= SECTION => {
                text.push('\n');
                text.push_str(&line);
            }
            _ => texts.push(line),
        }
    }
    texts
}

/// The three characters that mean something to Slack (docs.slack.dev, "Formatting message text").
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The most characters of a header's text.
const HEADER: usize = 150;
/// The most characters of a section's text.
const SECTION: usize = 3000;
/// Of the 50 blocks of a message, those that are left for details.
const SECTIONS: usize = 40;
