//! Microsoft Teams, through a webhook of its Workflows (Power Automate), which takes Adaptive Cards; the older
//! connectors, which took message cards, are retired.

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

/// Posts a message with one Adaptive Card.
///
/// The workflow answers 202 before it posts: what it does afterwards is told in its own run history alone.
#[derive(Debug)]
pub struct Teams {
    subscription: Subscription,
    hook: Hook,
}

impl Teams {
    /// Posts to `address`.
    #[must_use]
    pub fn new(subscription: Subscription, http: Arc<Http>, address: Address, timeout: Duration) -> Self {
        Self { subscription, hook: Hook::new(http, address, timeout) }
    }
}

#[async_trait]
impl Notifier for Teams {
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

/// The message, with as many details as it has room for.
#[must_use]
pub fn message(notice: &Notice) -> Value {
    let mut shown = notice.details.len().min(MOST);
    loop {
        let message = with_details(notice, shown);
        if shown == 0 || message.to_string().len() <= LARGEST {
            return message;
        }
        shown -= 1;
    }
}

fn with_details(notice: &Notice, shown: usize) -> Value {
    let mut body = vec![text(
        &notice.title,
        json!({"size": "Large", "weight": "Bolder", "color": colour(notice.topic)}),
    )];
    let plain = |line: &str| text(line, json!({}));
    body.extend(change(notice).as_deref().map(plain));
    body.extend(notice.details.iter().take(shown).map(|line| plain(line)));
    if shown < notice.details.len() {
        body.push(plain(&format!("and {} more", notice.details.len() - shown)));
    }
    body.extend(repeats(notice).as_deref().map(plain));
    if let Some(step) = &notice.next_step {
        body.push(text(&format!("Next: {step}"), json!({"weight": "Bolder"})));
    }
    body.push(text(&footer(notice), json!({"size": "Small", "isSubtle": true})));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                // What phones show of it while they are locked.
                "fallbackText": clip(&notice.title, LINE),
                "msteams": {"width": "Full"},
                "body": body,
            },
        }],
    })
}

/// Text as it is: a text run, unlike a text block, knows no Markdown, so that no name turns into a link or italics.
fn text(line: &str, style: Value) -> Value {
    let mut run = json!({"type": "TextRun", "text": clip(line, LINE)});
    if let (Some(run), Value::Object(style)) = (run.as_object_mut(), style) {
        run.extend(style);
    }
    json!({"type": "RichTextBlock", "inlines": [run]})
}

fn colour(topic: Topic) -> &'static str {
    match topic {
        Topic::Failure => "Attention",
        Topic::Refusal | Topic::Unverified | Topic::Address => "Warning",
        Topic::Recovery => "Good",
        Topic::Change | Topic::Service | Topic::Test => "Accent",
    }
}

/// The most bytes of a message. Teams names 28 KB, and has been seen to refuse what is above 21.
const LARGEST: usize = 20_000;
/// The most details of a card.
const MOST: usize = 20;
/// The most characters of one line.
const LINE: usize = 1000;
