//! What the service tells its operator, kept in a file by a command of the operator's.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Deserializer, Value};
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use crate::support::Cloud;

pub(super) struct Ear(PathBuf);

impl Ear {
    /// Lets the operator hear of everything but of what was written.
    pub(super) fn of(cloud: &Cloud) -> Self {
        let path = cloud.folder.path().join("heard");
        cloud.append(&format!(
            "\n[[notify]]\nname = \"ear\"\nkind = \"command\"\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {}\"]\n",
            path.display()
        ));
        Self(path)
    }

    /// Every notice on that topic, as JSON.
    pub(super) fn heard(&self, topic: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last may be written at this moment.
        let notices = Deserializer::from_str(&text).into_iter::<Value>().map_while(Result::ok);
        notices.filter(|notice| notice["topic"] == topic).collect()
    }

    /// How often a notice on that topic bore these words in its title.
    pub(super) fn times(&self, topic: &str, words: &str) -> usize {
        let says = |notice: &Value| notice["title"].as_str().is_some_and(|title| title.contains(words));
        self.heard(topic).iter().filter(|notice| says(notice)).count()
    }

    /// Waits for such a notice.
    pub(super) async fn hears(&self, topic: &str, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.times(topic, words) == 0 {
            let heard = std::fs::read_to_string(&self.0).unwrap_or_default();
            assert!(Instant::now() < deadline, "{words:?} was never told: {heard}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}
