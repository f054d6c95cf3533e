//! A text for readers without HTML, made from the HTML that a campaign has.
//!
//! Its own file, because it is a judgement about reading and not about mail: what is a paragraph, and where a link's target goes.

use std::fmt::Write;

use crate::engine::html::{Tag, Token, decode, tokens};

/// Elements that begin and end a line. Tables are layout in mail: a cell is told from the next by a space.
const LINES: [&str; 20] = [
    "address",
    "article",
    "blockquote",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "form",
    "header",
    "li",
    "main",
    "nav",
    "ol",
    "section",
    "table",
    "tr",
    "ul",
];
/// Elements with an empty line around them.
const PARAGRAPHS: [&str; 8] = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "pre"];

/// The text of `html`, whether variables are filled in or not: a placeholder stays what it is.
/// It ends with a line break, unless it is empty.
pub fn text_of(html: &str) -> String {
    let mut writer = Writer::default();
    // The target of the link that is open, and where its text began.
    let mut link: Option<(String, usize)> = None;
    let mut is_in_title = false;
    for token in tokens(html) {
        match token {
            Token::Text(_) if is_in_title => {}
            // A brace that was written as a reference must not become a variable's.
            Token::Text(text) => writer.push(&decode(text, |c| !matches!(c, '{' | '}'))),
            Token::Tag(tag) if tag.is("title") => is_in_title = !tag.is_end,
            Token::Tag(tag) if tag.is("a") => {
                if let Some((target, from)) = link.take() {
                    writer.push_target(&target, from);
                }
                if !tag.is_end {
                    link = target(html, &tag).map(|target| (target, writer.text.len()));
                }
            }
            Token::Tag(tag) => writer.pass(html, &tag),
        }
    }
    writer.finish()
}

/// Where a link leads, if that is worth reading.
fn target(html: &str, tag: &Tag<'_>) -> Option<String> {
    let target = decode(&html[tag.value("href")?.range], |c| !matches!(c, '{' | '}'))
        .trim()
        .to_owned();
    let is_place = ["http://", "https://", "{"]
        .iter()
        .any(|start| target.starts_with(start));
    is_place.then_some(target)
}

#[derive(Default)]
struct Writer {
    text: String,
    /// Line breaks that are due before the next word.
    breaks: usize,
    /// A space is due before the next word.
    is_spaced: bool,
    /// Nothing stands after a list's bullet yet: what comes stands beside it, a paragraph too.
    is_at_bullet: bool,
}

impl Writer {
    /// White space is one space, as browsers show it.
    fn push(&mut self, text: &str) {
        let mut words = text.split(|c: char| c.is_ascii_whitespace()).peekable();
        while let Some(word) = words.next() {
            if !word.is_empty() {
                self.begin();
                self.text.push_str(word);
            }
            if words.peek().is_some() {
                self.is_spaced = true;
            }
        }
    }

    /// What is due before a word.
    fn begin(&mut self) {
        if !self.text.is_empty() && !self.is_at_bullet {
            for _ in 0..self.breaks.min(2) {
                self.text.push('\n');
            }
            if self.breaks == 0 && self.is_spaced {
                self.text.push(' ');
            }
        }
        (self.breaks, self.is_spaced, self.is_at_bullet) = (0, false, false);
    }

    fn pass(&mut self, html: &str, tag: &Tag<'_>) {
        let is_one_of = |names: &[&str]| names.iter().any(|name| tag.is(name));
        if tag.is("br") {
            self.breaks += 1;
        } else if is_one_of(&PARAGRAPHS) {
            self.breaks = self.breaks.max(2);
        } else if is_one_of(&LINES) {
            self.breaks = self.breaks.max(1);
            if tag.is("li") {
                self.is_at_bullet = false;
            }
            if tag.is("li") && !tag.is_end {
                self.begin();
                self.text.push_str("- ");
                self.is_at_bullet = true;
            }
        } else if is_one_of(&["td", "th"]) {
            self.is_spaced = true;
        } else if tag.is("hr") {
            self.breaks = self.breaks.max(1);
            self.push("---");
            self.breaks = 1;
        } else if tag.is("img")
            && let Some(alt) = tag.value("alt")
        {
            self.push(&decode(&html[alt.range], |c| !matches!(c, '{' | '}')));
        }
    }

    /// The target after the link's text, unless that is the target already. A link without text is a picture's.
    fn push_target(&mut self, target: &str, from: usize) {
        let text = self.text.get(from..).unwrap_or_default().trim();
        if text.is_empty() {
            self.push(target);
        } else if text != target {
            // Writing to a string cannot fail, which its type does not say.
            let _ = write!(self.text, " ({target})");
        }
    }

    fn finish(mut self) -> String {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacys_newsletter_can_be_read() {
        assert_eq!(
            text_of(
                r#"<h1>News from Acorn &amp; Co</h1><p>Dear {name},</p><p><a href="{click_url}">Read on</a></p><img src="{open_url}" width="1" height="1" alt="">"#
            ),
            "News from Acorn & Co\n\nDear {name},\n\nRead on ({click_url})\n"
        );
    }

    #[test]
    fn white_space_is_what_browsers_make_of_it() {
        assert_eq!(
            text_of("  a\n  b<b> c</b>d<br>e  <br><br> f "),
            "a b cd\ne\n\nf\n"
        );
        assert_eq!(
            text_of("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"),
            "a b\nc\n"
        );
        assert_eq!(
            text_of("x<ul><li>a</li><li><p>b</p></li></ul>y"),
            "x\n- a\n- b\n\ny\n"
        );
        assert_eq!(text_of("<li></li><li>a"), "- \n- a\n");
        assert_eq!(text_of("a<hr>b"), "a\n---\nb\n");
    }

    #[test]
    fn what_is_not_shown_is_not_read() {
        let html = "<head><title>T</title><style>p{}</style></head><!-- c --><script>s</script>b";
        assert_eq!(text_of(html), "b\n");
        assert_eq!(text_of("<img src=x alt=''>"), "");
    }

    #[test]
    fn a_link_tells_where_it_leads() {
        assert_eq!(
            text_of("<a href='https://x.test/?a=1&amp;b=2'>Shop</a>!"),
            "Shop (https://x.test/?a=1&b=2)!\n"
        );
        assert_eq!(
            text_of("<a href=https://x.test>https://x.test</a>"),
            "https://x.test\n"
        );
        assert_eq!(
            text_of("<a href='#top'>up</a> <a href='mailto:a@x.test'>write</a>"),
            "up write\n"
        );
        assert_eq!(
            text_of("<a href='https://x.test'><img src=y></a>"),
            "https://x.test\n"
        );
    }

    #[test]
    fn a_written_out_brace_is_no_variable() {
        assert_eq!(text_of("&#123;name&#125;"), "&#123;name&#125;\n");
    }
}
