//! Prometheus text format 0.0.4 and OpenMetrics 1.0, as far as they differ for counters, gauges, histograms and infos.

use std::fmt::{self, Write as _};

/// How metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, which everything reads.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for: OpenMetrics where it is named at all, since whoever names it prefers it.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let named = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let refused = |part: &str| {
                let weight = part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
                weight == Some(0.0)
            };
            parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/openmetrics-text"))
                && !parts.any(refused)
        };
        if accept.split(',').any(|range| named(range.trim())) { Self::OpenMetrics } else { Self::Text }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Metrics as they are written, family after family.
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// One metric with all its label values.
pub(super) struct Family<'e> {
    text: &'e mut String,
    name: String,
}

impl Exposition {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// A counter; `name` is without `_total`, which its samples end in.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.suffixed(name, "_total", "counter", "counter", help)
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.suffixed(name, "", "gauge", "gauge", help)
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.suffixed(name, "", "histogram", "histogram", help)
    }

    /// What is told by its labels; `name` is without `_info`, which its samples end in.
    pub(super) fn info(&mut self, name: &str, help: &str) -> Family<'_> {
        self.suffixed(name, "_info", "gauge", "info", help)
    }

    /// OpenMetrics declares a family by its bare name, the older format by that of its samples.
    fn suffixed(&mut self, name: &str, suffix: &str, kind: &str, open: &str, help: &str) -> Family<'_> {
        let sample = format!("{name}{suffix}");
        let (declared, kind) = match self.format {
            Format::Text => (sample.as_str(), kind),
            Format::OpenMetrics => (name, open),
        };
        let _ = writeln!(self.text, "# HELP {declared} {help}\n# TYPE {declared} {kind}");
        Family { text: &mut self.text, name: sample }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        self.part("", labels, value);
    }

    /// A sample whose name has `suffix` besides.
    pub(super) fn part(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Into<Value>) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (label, value)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{label}=\"{}\"", Escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {}", value.into());
    }
}

/// A sample's value.
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u8> for Value {
    fn from(value: u8) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) => f.write_str(&number(*value)),
        }
    }
}

/// A number as both formats write it: with a point, never with an exponent that one of them lacks.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if value.fract() == 0.0 {
        format!("{value:.1}")
    } else {
        value.to_string()
    }
}

/// A label's value between its quotes.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_value_cannot_leave_its_quotes() {
        let mut out = Exposition::new(Format::Text);
        out.gauge("g", "Help.").sample(&[("a", "x\"} 1\n\\y"), ("b", "")], 0_u8);
        assert_eq!(out.finish(), "# HELP g Help.\n# TYPE g gauge\ng{a=\"x\\\"} 1\\n\\\\y\",b=\"\"} 0\n");
    }

    #[test]
    fn the_two_formats_declare_counters_and_infos_each_in_its_way() {
        let write = |format| {
            let mut out = Exposition::new(format);
            out.counter("c", "C.").sample(&[], 2_u64);
            out.info("b", "B.").sample(&[("v", "1")], 1_u8);
            out.finish()
        };
        let old = "# HELP c_total C.\n# TYPE c_total counter\nc_total 2\n\
                   # HELP b_info B.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n";
        let open = "# HELP c C.\n# TYPE c counter\nc_total 2\n# HELP b B.\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!((write(Format::Text).as_str(), write(Format::OpenMetrics).as_str()), (old, open));
    }

    #[test]
    fn open_metrics_is_given_to_whoever_names_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text; q=0, */*", Format::Text),
            ("text/html,*/*", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn numbers_are_written_as_both_formats_read_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (0.1, "0.1"),
            (3600.0, "3600.0"),
            (1e21, "1000000000000000000000.0"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
