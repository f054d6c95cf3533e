//! HTML as mail carries it, cut into texts and tags, and its character references decoded.
//!
//! Its own file, because two readers need the same cuts: the text made of a body, and the links that are tracked. It follows
//! the tokenizer of the HTML standard (13.2.5) as far as they need it, in one pass, whatever is left unclosed.

use std::borrow::Cow;
use std::ops::Range;

/// A cut of the source. Comments and doctypes are skipped.
#[derive(Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// Still with its character references.
    Text(&'a str),
    Tag(Tag<'a>),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// As it is spelled.
    pub name: &'a str,
    /// `</name>`
    pub is_end: bool,
    source: &'a str,
    /// Where its attributes begin.
    from: usize,
}

/// An attribute's value in the source.
#[derive(Debug, PartialEq, Eq)]
pub struct Value {
    /// Without its quotes.
    pub range: Range<usize>,
    pub is_quoted: bool,
}

impl Tag<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The first attribute called `name`: the one that counts. `None` where it has no value, too.
    pub fn value(&self, name: &str) -> Option<Value> {
        let mut at = self.from;
        while let Step::Attribute { name: found, value } = step(self.source.as_bytes(), &mut at) {
            if self.source[found].eq_ignore_ascii_case(name) {
                return value;
            }
        }
        None
    }
}

/// The tokens of `html`. What stands in `script` and `style` is skipped.
pub fn tokens(html: &str) -> Tokens<'_> {
    Tokens { html, at: 0 }
}

pub struct Tokens<'a> {
    html: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let mut start = self.at;
        let mut at = start;
        loop {
            let Some(open) = memchr::memchr(b'<', &self.html.as_bytes()[at..]) else {
                self.at = self.html.len();
                return text(&self.html[start..]);
            };
            let open = at + open;
            let after = &self.html[open + 1..];
            let is_end = after.starts_with('/');
            let name_at = open + 1 + usize::from(is_end);
            let begins =
                |test: fn(&u8) -> bool| self.html.as_bytes().get(name_at).is_some_and(test);
            let is_markup = after.starts_with(['!', '?']);
            if !is_markup && !begins(u8::is_ascii_alphabetic) {
                // A "<" that is one.
                at = open + 1;
                continue;
            }
            if start < open {
                self.at = open;
                return text(&self.html[start..open]);
            }
            if is_markup {
                start = self.end_of_markup(open);
                at = start;
                continue;
            }
            return self.tag(name_at, is_end);
        }
    }
}

impl<'a> Tokens<'a> {
    /// A comment's end, or a doctype's.
    fn end_of_markup(&self, open: usize) -> usize {
        let (from, end) = match self.html[open..].starts_with("<!--") {
            true => (open + 4, "-->"),
            false => (open, ">"),
        };
        let found = self.html[from..].find(end);
        found.map_or(self.html.len(), |found| from + found + end.len())
    }

    fn tag(&mut self, name_at: usize, is_end: bool) -> Option<Token<'a>> {
        let bytes = self.html.as_bytes();
        let ends_name = |b: &u8| is_space(*b) || matches!(b, b'/' | b'>');
        let length = bytes[name_at..].iter().position(ends_name);
        let from = length.map_or(bytes.len(), |length| name_at + length);
        let name = &self.html[name_at..from];
        let mut at = from;
        let end = loop {
            match step(bytes, &mut at) {
                Step::Attribute { .. } => {}
                Step::End => break at,
                // Browsers show nothing of a tag that never ends, and nothing comes after it.
                Step::Unclosed => {
                    self.at = bytes.len();
                    return None;
                }
            }
        };
        let is_raw = |raw: &str| !is_end && name.eq_ignore_ascii_case(raw);
        self.at = match ["script", "style"].into_iter().find(|raw| is_raw(raw)) {
            Some(raw) => self.end_of_raw(end, raw),
            None => end,
        };
        Some(Token::Tag(Tag {
            name,
            is_end,
            source: self.html,
            from,
        }))
    }

    /// Where `</name` stands after `from`.
    fn end_of_raw(&self, from: usize, name: &str) -> usize {
        let bytes = self.html.as_bytes();
        memchr::memchr_iter(b'<', &bytes[from..])
            .map(|at| from + at)
            .find(|at| {
                bytes[*at..].get(1) == Some(&b'/')
                    && bytes[at + 2..]
                        .get(..name.len())
                        .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
            })
            .unwrap_or(bytes.len())
    }
}

fn text(text: &str) -> Option<Token<'_>> {
    (!text.is_empty()).then_some(Token::Text(text))
}

enum Step {
    Attribute {
        name: Range<usize>,
        value: Option<Value>,
    },
    End,
    Unclosed,
}

/// The next attribute of a tag, or its end. Every cut is beside an ASCII byte.
fn step(bytes: &[u8], at: &mut usize) -> Step {
    let skip = |from: usize, test: fn(u8) -> bool| {
        let length = bytes[from..].iter().position(|b| !test(*b));
        length.map_or(bytes.len(), |length| from + length)
    };
    *at = skip(*at, |b| is_space(b) || b == b'/');
    match bytes.get(*at) {
        None => return Step::Unclosed,
        Some(b'>') => {
            *at += 1;
            return Step::End;
        }
        Some(_) => {}
    }
    let start = *at;
    // An equals sign in the first place belongs to the name.
    let rest = start + usize::from(bytes[start] == b'=');
    let end = skip(rest, |b| !is_space(b) && !matches!(b, b'/' | b'>' | b'='));
    let name = start..end;
    *at = skip(end, is_space);
    if bytes.get(*at) != Some(&b'=') {
        return Step::Attribute { name, value: None };
    }
    let from = skip(*at + 1, is_space);
    let (range, is_quoted) = match bytes.get(from) {
        None => return Step::Unclosed,
        Some(quote @ (b'"' | b'\'')) => match memchr::memchr(*quote, &bytes[from + 1..]) {
            Some(length) => (from + 1..from + 1 + length, true),
            None => return Step::Unclosed,
        },
        Some(_) => (from..skip(from, |b| !is_space(b) && b != b'>'), false),
    };
    *at = range.end + usize::from(is_quoted);
    let value = Some(Value { range, is_quoted });
    Step::Attribute { name, value }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// The references that letters are written with: the five of the syntax, and what editors of newsletters put into texts.
const NAMED: [(&str, char); 34] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("bull", '•'),
    ("middot", '·'),
    ("euro", '€'),
    ("pound", '£'),
    ("deg", '°'),
    ("times", '×'),
    ("rarr", '→'),
    ("auml", 'ä'),
    ("ouml", 'ö'),
    ("uuml", 'ü'),
    ("Auml", 'Ä'),
    ("Ouml", 'Ö'),
    ("Uuml", 'Ü'),
    ("szlig", 'ß'),
    ("eacute", 'é'),
];

/// `text` with its character references decoded, where `may_decode` lets the character through. What is unknown stays as it is.
pub fn decode(text: &str, may_decode: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains('&') {
        return text.into();
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest has eight bytes and its semicolon.
        let window = &rest.as_bytes()[..rest.len().min(12)];
        let end = window.iter().position(|b| *b == b';');
        match end.and_then(|end| Some((end, referred(&rest[1..end])?))) {
            Some((end, char)) if may_decode(char) => {
                decoded.push(char);
                rest = &rest[end + 1..];
            }
            _ => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded.into()
}

fn referred(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        let known = NAMED.iter().find(|(known, _)| *known == name);
        return known.map(|(_, char)| *char);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(number.ok()?).filter(|char| *char != '\0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(html: &str) -> Vec<String> {
        tokens(html)
            .map(|token| match token {
                Token::Text(text) => text.to_owned(),
                Token::Tag(tag) => format!("<{}{}>", if tag.is_end { "/" } else { "" }, tag.name),
            })
            .collect()
    }

    fn href(html: &str) -> Option<&str> {
        let tag = tokens(html).find_map(|token| match token {
            Token::Tag(tag) => Some(tag),
            Token::Text(_) => None,
        });
        tag?.value("href").map(|value| &html[value.range])
    }

    #[test]
    fn texts_and_tags_are_told_apart() {
        assert_eq!(
            cut("<!doctype html><p>a < b<br/>c<!-- <p> --></P>d"),
            ["<p>", "a < b", "<br>", "c", "</P>", "d"]
        );
        assert_eq!(
            cut("a<style>p{a:'<b>'}</STYLE>b"),
            ["a", "<style>", "</STYLE>", "b"]
        );
        assert_eq!(cut("<a title='>'>x</a>"), ["<a>", "x", "</a>"]);
    }

    #[test]
    fn what_is_never_closed_ends_there() {
        for html in ["a<b", "a<!-- b", "a<b title='>", "a<b title=", "a<?"] {
            assert_eq!(cut(html), ["a"], "{html}");
        }
        assert_eq!(cut("a<style>b"), ["a", "<style>"]);
        assert_eq!(cut("a<"), ["a<"]);
    }

    #[test]
    fn an_attribute_is_found_however_it_is_written() {
        for html in [
            "<a href=\"x\">",
            "<A class=b HREF='x'>",
            "<a href = x>",
            "<a\nhref=x title=y>",
            "<a data-href=y href=x href=z>",
            "<a disabled href=x>",
        ] {
            assert_eq!(href(html), Some("x"), "{html}");
        }
        for html in ["<a>", "<a href>", "<a title='href=x'>", "<a xhref=x>"] {
            assert_eq!(href(html), None, "{html}");
        }
        assert_eq!(href("<a href=x/y/>"), Some("x/y/"));
    }

    #[test]
    fn references_are_decoded() {
        let all = |_| true;
        assert_eq!(decode("a &amp; b &lt;&#39;&#x27;&uuml;", all), "a & b <''ü");
        for unknown in [
            "&nosuch;",
            "&",
            "& ;",
            "&#xd800;",
            "&#0;",
            "&amp",
            "&#99999999999;",
            "&é;",
        ] {
            assert_eq!(decode(unknown, all), unknown);
        }
        assert_eq!(decode("&amp;&#123;", |c| c != '{'), "&&#123;");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_text_is_made_up(html in "[<>/!a=\"' é&;#x-]{0,60}") {
            let length: usize = tokens(&html).map(|token| match token {
                Token::Text(text) => text.len(),
                Token::Tag(tag) => {
                    if let Some(value) = tag.value("a") {
                        let _ = &html[value.range];
                    }
                    tag.name.len()
                }
            }).sum();
            prop_assert!(length <= html.len());
            let _ = decode(&html, |_| true);
        }
    }
}
