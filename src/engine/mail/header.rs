//! What may stand in a header, checked when it is made: what has one of these types cannot end its line.
//!
//! Its own file, because header injection is refused here, by type, and the building of a mail need not think of it.
//! mail-builder 2.0 itself folds, encodes or leaves out line breaks, each value in its own way: its output is well formed,
//! and says something that nobody wrote.

use super::Fault;
use crate::engine::template::SUBJECT_LIMIT;

/// Bytes of a URL in a header: with its brackets it fits a line.
const URL_LIMIT: usize = 900;
const FILE_NAME_LIMIT: usize = 255;
const CONTENT_ID_LIMIT: usize = 255;
const MEDIA_TYPE_LIMIT: usize = 127;

/// A subject of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

/// An `https` URL of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsUrl(String);

/// A file's name as a mail tells it: no folder, no control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(String);

/// `type/subtype`, of a single file: no `multipart/*` and no `message/*`, whose bodies may not be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType(String);

/// By what the HTML names an inline file, as `cid:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentId(String);

macro_rules! text_of {
    ($($name:ident),*) => {
        $(impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        })*
    };
}
text_of!(Subject, HttpsUrl, FileName, MediaType, ContentId);

impl Subject {
    pub fn new(text: &str) -> Result<Self, Fault> {
        if text.len() > SUBJECT_LIMIT || text.contains(char::is_control) {
            return Err(Fault::Subject);
        }
        Ok(Self(text.to_owned()))
    }
}

impl HttpsUrl {
    /// Angle brackets would end it where it stands; URLs have none.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let is_visible = |b: u8| b.is_ascii_graphic() && !b"<>\"".contains(&b);
        let is_url = text
            .strip_prefix("https://")
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        if !is_url || text.len() > URL_LIMIT || !text.bytes().all(is_visible) {
            return Err(Fault::Url);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FileName {
    /// What stands in front of the last `/` or `\` is left out.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        // A right-to-left override makes "fdp.exe" of "exe.pdf".
        let is_hidden = |c: char| {
            c.is_control()
                || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if name.is_empty() || name.len() > FILE_NAME_LIMIT || name.contains(is_hidden) {
            return Err(Fault::FileName);
        }
        Ok(Self(name.to_owned()))
    }
}

impl MediaType {
    /// RFC 6838's names. Parameters are left out: a file's bytes are sent as they are.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let kind = text.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let is_token = |part: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.bytes().all(fits)
        };
        let is_file = kind.len() <= MEDIA_TYPE_LIMIT
            && kind.split_once('/').is_some_and(|(top, sub)| {
                is_token(top) && is_token(sub) && !matches!(top, "multipart" | "message")
            });
        match is_file {
            true => Ok(Self(kind)),
            false => Err(Fault::MediaType),
        }
    }

    /// `application/octet-stream`: bytes, whatever they are.
    pub fn bytes() -> Self {
        Self("application/octet-stream".to_owned())
    }
}

impl ContentId {
    pub fn new(text: &str) -> Result<Self, Fault> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&b);
        if text.is_empty() || text.len() > CONTENT_ID_LIMIT || !text.bytes().all(fits) {
            return Err(Fault::ContentId);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_ends_its_line() {
        for end in ["\r\nBcc: all@x.test", "\n", "\r", "\0", "\u{85}"] {
            let with = |text: &str| format!("{text}{end}");
            assert_eq!(Subject::new(&with("News")), Err(Fault::Subject));
            assert_eq!(HttpsUrl::new(&with("https://x.test/u")), Err(Fault::Url));
            assert_eq!(ContentId::new(&with("logo")), Err(Fault::ContentId));
            assert!(FileName::new(&format!("a{end}.pdf")).is_err());
            assert!(MediaType::new(&format!("text{end}/plain")).is_err());
        }
    }

    #[test]
    fn a_url_is_https_and_visible() {
        assert!(HttpsUrl::new("https://x.test/u/1?a=b").is_ok());
        for url in [
            "http://x.test/",
            "https://",
            "https:///x",
            "https://x.test/ü",
            "https://x.test/>,<https://y.test",
            "https://x.test/a b",
            "mailto:a@x.test",
            &format!("https://x.test/{}", "a".repeat(900)),
        ] {
            assert_eq!(HttpsUrl::new(url), Err(Fault::Url), "{url}");
        }
    }

    #[test]
    fn a_file_has_a_name_and_no_folder() {
        for (given, kept) in [
            ("a.pdf", "a.pdf"),
            ("../../etc/passwd", "passwd"),
            (
                "C:\\Users\\x\\Preisliste für Köln.pdf",
                "Preisliste für Köln.pdf",
            ),
        ] {
            assert_eq!(FileName::new(given).unwrap().as_str(), kept);
        }
        for name in ["", "a/", "exe.\u{202e}fdp", &"a".repeat(256)] {
            assert_eq!(FileName::new(name), Err(Fault::FileName), "{name:?}");
        }
    }

    #[test]
    fn a_media_type_is_of_one_file() {
        assert_eq!(
            MediaType::new("Text/CSV; charset=utf-8").unwrap().as_str(),
            "text/csv"
        );
        for kind in [
            "",
            "text",
            "multipart/mixed",
            "message/rfc822",
            "a/b/c",
            "text/",
            "te xt/a",
        ] {
            assert_eq!(MediaType::new(kind), Err(Fault::MediaType), "{kind}");
        }
    }
}
