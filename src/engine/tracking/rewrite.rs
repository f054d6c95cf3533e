//! A body's links made to lead through here, with the list of where they led.
//!
//! Its own file, because it edits customers' HTML: it changes the values of `href` in `<a>` and `<area>`, adds one pixel, and
//! leaves every other byte as it is.
//!
//! It works on a campaign's source, once, with placeholders in place of links (`{link_0}`), as well as on a finished body. A
//! link with a variable in it leads each reader elsewhere: in a source it is left alone, in a finished body it is a link like any.

use std::collections::HashMap;

use super::target::{Target, Targets};
use crate::engine::html::{Token, decode, tokens};
use crate::engine::template::escape::push_html;

/// Different targets in one body. What comes after them is left alone.
pub const LINK_LIMIT: u16 = 1000;

/// A body whose links are tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    pub html: String,
    /// To be stored, in this order, before the mail leaves. The link of number n leads to the n-th.
    pub targets: Vec<Target>,
}

/// `link` gives what stands in place of the target of this number. What begins with `own`, the public address, leads here
/// already and is left alone: unsubscribing above all, which must work without a detour.
pub fn rewrite(html: &str, own: &str, link: impl Fn(u16) -> String) -> Rewritten {
    let mut targets: Vec<Target> = Vec::new();
    let mut numbers: HashMap<Target, u16> = HashMap::new();
    let html = replace(html, own, |target| {
        let number = match numbers.get(&target) {
            Some(number) => *number,
            None if targets.len() >= usize::from(LINK_LIMIT) => return None,
            None => {
                let number = targets.len() as u16;
                numbers.insert(target.clone(), number);
                targets.push(target);
                number
            }
        };
        Some(link(number))
    });
    Rewritten { html, targets }
}

/// As [`rewrite`], with links of stored targets alone: a number means what was stored under it. Every other link leads where
/// it led, without being counted.
pub fn rewrite_stored(
    html: &str,
    own: &str,
    targets: &Targets,
    link: impl Fn(u16) -> String,
) -> String {
    replace(html, own, |target| targets.number_of(&target).map(&link))
}

/// `link` gives what stands in place of a target; `None` leaves it alone.
fn replace(html: &str, own: &str, mut link: impl FnMut(Target) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len() + html.len() / 8);
    let mut done = 0;
    for token in tokens(html) {
        let Token::Tag(tag) = token else { continue };
        if tag.is_end || !(tag.is("a") || tag.is("area")) {
            continue;
        }
        let Some(value) = tag.value("href") else {
            continue;
        };
        let Some(link) = tracked(&html[value.range.clone()], own).and_then(&mut link) else {
            continue;
        };
        out.push_str(&html[done..value.range.start]);
        let quote = if value.is_quoted { "" } else { "\"" };
        out.push_str(quote);
        push_html(&mut out, &link);
        out.push_str(quote);
        done = value.range.end;
    }
    out.push_str(&html[done..]);
    out
}

/// The target of an `href`, if its clicks are to be counted.
fn tracked(href: &str, own: &str) -> Option<Target> {
    if href.contains(['{', '}']) {
        return None;
    }
    let target = decode(href, |_| true);
    let target = target.trim();
    let is_own = target
        .strip_prefix(own)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    match is_own {
        true => None,
        false => Target::parse(target),
    }
}

/// `html` with an image of one pixel at its end, which tells that it was opened.
pub fn with_pixel(html: &str, url: &str) -> String {
    // In front of the last `</body>`: some readers show nothing after it.
    let end = memchr::memrchr_iter(b'<', html.as_bytes()).find(|at| {
        html.as_bytes()[*at..]
            .get(..7)
            .is_some_and(|tag| tag.eq_ignore_ascii_case(b"</body>"))
    });
    let (before, after) = html.split_at(end.unwrap_or(html.len()));
    let mut out = String::with_capacity(html.len() + url.len() + 64);
    out.push_str(before);
    out.push_str("<img src=\"");
    push_html(&mut out, url);
    out.push_str("\" width=\"1\" height=\"1\" alt=\"\">");
    out.push_str(after);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "https://m.acorn.test";

    fn rewritten(html: &str) -> (String, Vec<String>) {
        let found = rewrite(html, OWN, |number| format!("{OWN}/c/{number}?a&b"));
        let targets = found
            .targets
            .iter()
            .map(|target| target.as_str().to_owned());
        (found.html, targets.collect())
    }

    #[test]
    fn links_lead_through_here_and_their_targets_are_told() {
        let (html, targets) = rewritten(
            "<p><a class=x href=\"https://x.test/?a=1&amp;b=2\">1</a> <A HREF = 'http://y.test'>2</A> <a href=https://x.test/3>3</a></p>",
        );
        assert_eq!(
            html,
            "<p><a class=x href=\"https://m.acorn.test/c/0?a&amp;b\">1</a> <A HREF = 'https://m.acorn.test/c/1?a&amp;b'>2</A> <a href=\"https://m.acorn.test/c/2?a&amp;b\">3</a></p>"
        );
        assert_eq!(
            targets,
            [
                "https://x.test/?a=1&b=2",
                "http://y.test",
                "https://x.test/3"
            ]
        );
    }

    #[test]
    fn a_number_is_the_stored_one_and_what_was_not_stored_is_left_alone() {
        let stored = ["https://x.test/2", "https://x.test/1"].map(|it| Target::parse(it).unwrap());
        let stored = Targets::from_store(stored.to_vec());
        let html = "<a href='https://x.test/1'><a href='https://x.test/ann'>";
        assert_eq!(
            rewrite_stored(html, OWN, &stored, |number| format!("{OWN}/c/{number}")),
            format!("<a href='{OWN}/c/1'><a href='https://x.test/ann'>")
        );
    }

    #[test]
    fn a_target_that_comes_twice_has_one_number() {
        let (html, targets) = rewritten("<a href='http://x.test'></a><area href='http://x.test'>");
        assert_eq!(html.matches("/c/0").count(), 2);
        assert_eq!(targets.len(), 1);
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for html in [
            "<a href='mailto:a@x.test'>",
            "<a href='tel:+49'>",
            "<a href='#top'>",
            "<a href='/here'>",
            "<a name=x>",
            "<a href>",
            "<a href='{unsubscribe_url}'>",
            "<a href='https://x.test/?u={id}'>",
            "<a href='https://m.acorn.test/u/1'>",
            "<a href='https://m.acorn.test'>",
            "<a href='javascript:alert(1)'>",
            "<!-- <a href='https://x.test'> -->",
            "<!--[if mso]><a href='https://x.test'><![endif]-->",
            "<style>a[href='https://x.test']{}</style>",
            "<link href='https://x.test'>",
            "<img src='https://x.test' alt=\"<a href='https://x.test'>\">",
            "https://x.test",
            "<a href='https://x.test",
        ] {
            assert_eq!(rewritten(html), (html.to_owned(), vec![]), "{html}");
        }
        // A name that only begins like ours is somebody else's.
        assert_eq!(
            rewritten("<a href='https://m.acorn.test.evil.test'>")
                .1
                .len(),
            1
        );
    }

    #[test]
    fn the_number_of_links_is_bounded() {
        let html: String = (0..1100)
            .map(|i| format!("<a href='http://x.test/{i}'>"))
            .collect();
        let (html, targets) = rewritten(&html);
        assert_eq!(targets.len(), usize::from(LINK_LIMIT));
        assert!(html.ends_with("<a href='http://x.test/1099'>"));
    }

    #[test]
    fn the_pixel_stands_at_the_end() {
        assert_eq!(
            with_pixel("<BODY>a</BODY></html>", "https://m.test/o/1?a&b"),
            "<BODY>a<img src=\"https://m.test/o/1?a&amp;b\" width=\"1\" height=\"1\" alt=\"\"></BODY></html>"
        );
        assert!(with_pixel("ä", "x").starts_with("ä<img "));
    }

    proptest! {
        #[test]
        fn a_body_that_is_rewritten_once_is_left_alone_then(html in "(<a href=|'|\"|https://x.test/|[a >é{}]|</a>|<!--|&amp;){0,20}") {
            let once = rewrite(&html, OWN, |number| format!("{OWN}/c/{number}"));
            let twice = rewrite(&once.html, OWN, |number| format!("{OWN}/c/{number}"));
            prop_assert_eq!(twice.targets, vec![]);
            prop_assert_eq!(twice.html, once.html);
        }
    }
}
