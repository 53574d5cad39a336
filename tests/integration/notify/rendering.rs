//! What each service is sent: golden texts, limits, and nothing in a notice that acts on anybody.

use cnamed::notify::{Notice, Topic, slack, teams};
use proptest::prelude::*;
use serde_json::Value;

use super::{notice, rich};
use crate::support::golden;

#[test]
fn slack_gets_blocks_that_read_well() {
    golden::same("notify/slack", &format!("{:#}\n", slack::message(&rich())));
}

#[test]
fn teams_gets_a_card_that_reads_well() {
    golden::same("notify/teams", &format!("{:#}\n", teams::message(&rich())));
}

#[test]
fn nothing_in_a_notice_mentions_or_links_anybody_in_slack() {
    let hostile = Notice {
        details: vec!["<!channel> <https://evil.example|click>".into()],
        next_step: Some("<@U024BE7LH>".into()),
        ..notice(Topic::Failure, "x", "<!here> & <#C1>")
    };
    let message = slack::message(&hostile);
    let blocks = message["blocks"].as_array().unwrap();
    for text in blocks[1..].iter().map(Value::to_string).chain([message["text"].to_string()]) {
        assert!(!text.contains('<') && !text.contains('>'), "{text}");
    }
    // Plain text knows no escapes and no markup.
    assert_eq!(blocks[0]["text"]["text"], "<!here> & <#C1>");
}

/// Every text of the value, with the name of what holds it.
fn texts(value: &Value, found: &mut Vec<(String, usize)>) {
    match value {
        Value::Object(object) => {
            if let (Some(kind), Some(text)) = (object.get("type"), object.get("text").and_then(Value::as_str))
            {
                found.push((kind.as_str().unwrap_or_default().to_owned(), text.chars().count()));
            }
            object.values().for_each(|inner| texts(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| texts(inner, found)),
        _ => {}
    }
}

/// Lines of what grows when it is written: escapes of Slack's, of JSON's, and characters of several bytes.
fn line() -> impl Strategy<Value = String> {
    (prop::sample::select(vec!["&<", "\"\\", "ä€", "😀", "a\n", "x "]), 0usize..1600)
        .prop_map(|(piece, times)| piece.repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_notice_is_too_long_for_a_service(
        title in line(),
        details in prop::collection::vec(line(), 0..60),
        step in prop::option::of(line()),
    ) {
        let notice = Notice { details, next_step: step, ..notice(Topic::Failure, "cf", &title) };
        let slack = slack::message(&notice);
        prop_assert!(slack["blocks"].as_array().unwrap().len() <= 50);
        let mut found = Vec::new();
        texts(&slack, &mut found);
        for (kind, length) in found {
            prop_assert!(length <= if kind == "plain_text" { 150 } else { 3000 }, "{} of {}", length, kind);
        }
        prop_assert!(teams::message(&notice).to_string().len() <= 20_000);
    }
}
