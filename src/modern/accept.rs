//! HTML or JSON: decides from the Accept header as the legacy application does, which is Laravel's `wantsJson`.
//!
//! Its own file, because the two sides must agree on it, or a flip would change what a client gets.

use axum::http::{HeaderMap, header};

/// Whether the client is a browser that wants a page. JSON when it says so first, and when it says nothing.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    accept.contains("text/html")
        && !first_choice(accept).is_some_and(|t| t.contains("/json") || t.contains("+json"))
}

/// The media type with the highest quality; of equals, the first.
fn first_choice(accept: &str) -> Option<String> {
    let mut best: Option<(f32, &str)> = None;
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = parts
            .find_map(|p| p.strip_prefix("q="))
            .map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if !media_type.is_empty() && best.is_none_or(|(highest, _)| quality > highest) {
            best = Some((quality, media_type));
        }
    }
    best.map(|(_, media_type)| media_type.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_for(accept: &'static str) -> bool {
        wants_page(&HeaderMap::from_iter([(
            header::ACCEPT,
            accept.parse().unwrap(),
        )]))
    }

    #[test]
    fn a_browser_gets_a_page() {
        assert!(page_for(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(page_for("application/json;q=0.5, text/html"));
    }

    #[test]
    fn everyone_else_gets_json() {
        assert!(!wants_page(&HeaderMap::new()));
        for accept in [
            "*/*",
            "application/json",
            "application/json, text/html",
            "text/html;q=0.5, application/vnd.api+json",
        ] {
            assert!(!page_for(accept), "{accept}");
        }
    }
}
