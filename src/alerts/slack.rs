//! Slack's incoming webhooks.
//!
//! Its own file: one a vendor. The format: api.slack.com, "Sending messages using incoming webhooks".

use serde_json::json;

use super::outcome::Outcome;
use super::store::Delivery;
use super::{Config, Severity};

/// A section's text has three thousand characters at most.
const MAX_TEXT: usize = 2900;

/// Writes one message. Slack has no key to know a message by: after a crash between its answer and our note it comes twice.
pub async fn send(client: &reqwest::Client, config: &Config, delivery: &Delivery) -> Outcome {
    let text = text(config, delivery);
    let request = client
        .post(config.slack.url.reveal())
        .json(&json!({ "text": text }));
    Outcome::of(request.send().await).await
}

fn text(config: &Config, delivery: &Delivery) -> String {
    let mark = match (delivery.is_end(), delivery.severity()) {
        (true, _) => ":white_check_mark: *over*",
        (false, Severity::Critical) => ":red_circle: *critical*",
        (false, Severity::Warning) => ":large_yellow_circle: *warning*",
        (false, Severity::Info) => ":information_source:",
    };
    let mut text = format!("{mark} {}", escape(&delivery.title));
    if !delivery.is_end() && !delivery.body.is_empty() {
        text += &format!("\n{}", escape(&delivery.body));
    }
    if let Some(link) = &config.link {
        text += &format!("\n<{link}|the console>");
    }
    text.chars().take(MAX_TEXT).collect()
}

/// The three characters that Slack reads.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_mentions_nobody() {
        assert_eq!(
            escape("<!channel> & <@U1>"),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;"
        );
    }
}
