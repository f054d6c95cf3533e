//! Exemplars in the text of the metrics: beside a bucket, the trace of one request that fell into it.
//!
//! Its own file, because the metrics library makes exemplars only for histograms of its own, which take a lock on each
//! observation: they are put into its text instead, and a text without them costs nothing more.

use std::fmt::Write;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::histogram::Exemplar;

/// The labels of one line, `name="value"` with commas between. Our label values hold no quotes.
pub struct Labels<'a>(&'a str);

impl<'a> Labels<'a> {
    /// Empty where there is no such label.
    pub fn of(&self, name: &str) -> &'a str {
        let pairs = self
            .0
            .split("\",")
            .filter_map(|pair| pair.split_once("=\""));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found
            .next()
            .map_or("", |(_, value)| value.trim_end_matches('"'))
    }
}

/// The text with ` # {trace_id="…"} value time` at the end of each line of `series` that has one (OpenMetrics 1.0).
pub fn put_in(
    text: &str,
    series: &str,
    find: impl Fn(&Labels<'_>) -> Option<Arc<Exemplar>>,
) -> String {
    let mut out = String::with_capacity(text.len() + 4096);
    for line in text.lines() {
        out.push_str(line);
        let labels = line
            .strip_prefix(series)
            .and_then(|rest| rest.strip_prefix('{'));
        let labels = labels.and_then(|rest| rest.split_once("} "));
        if let Some(exemplar) = labels.and_then(|(labels, _)| find(&Labels(labels))) {
            let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            // Writing into a String cannot fail.
            let _ = write!(
                out,
                " # {{trace_id=\"{:032x}\"}} {:.6} {}.{:03}",
                exemplar.trace,
                exemplar.seconds,
                at.as_secs(),
                at.subsec_millis(),
            );
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_exemplar_stands_at_its_line_and_at_no_other() {
        let text = "# TYPE a histogram\na_bucket{le=\"0.5\",side=\"x\"} 1\na_bucket{le=\"+Inf\",side=\"x\"} 2\n# EOF\n";
        let put = put_in(text, "a_bucket", |labels| {
            (labels.of("le") == "+Inf" && labels.of("side") == "x").then(|| {
                Arc::new(Exemplar {
                    trace: 10,
                    seconds: 0.75,
                    at: UNIX_EPOCH + Duration::from_millis(5_040),
                })
            })
        });
        let exemplar = " # {trace_id=\"0000000000000000000000000000000a\"} 0.750000 5.040";
        assert_eq!(put, text.replace("x\"} 2", &format!("x\"}} 2{exemplar}")));
    }
}
