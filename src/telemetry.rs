//! Logs, to stderr.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins logging what `filter` asks for: a level, or targets below `cnamed`; warnings without one.
///
/// Only our own targets are ever heard: libraries below us log whole requests at their finer levels, headers
/// included, and a credential must not reach a log at any verbosity.
pub fn init(filter: Option<&str>, colour: bool) {
    let asked: Targets = filter.and_then(|filter| filter.parse().ok()).unwrap_or_default();
    let level = filter.and_then(|filter| filter.parse::<LevelFilter>().ok()).unwrap_or(LevelFilter::WARN);
    let ours = asked.iter().filter(|(target, _)| *target == "cnamed" || target.starts_with("cnamed::"));
    let targets = Targets::new().with_target("cnamed", level).with_targets(ours);
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false);
    // A second call, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(targets).with(layer).try_init();
}
