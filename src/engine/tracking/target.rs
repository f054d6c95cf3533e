//! Where a click may lead: to what was stored when the mail was made, and nowhere else.
//!
//! Its own file, because "no open redirect" is a promise of a type here: a [`Destination`] has no constructor but a look-up
//! among stored targets.

/// Bytes of a target. Legacy's column has room for 2000 characters.
pub const TARGET_LIMIT: usize = 8000;

/// An absolute `http` or `https` URL, as the mail's author wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(String);

impl Target {
    /// `None`: anything else, such as `mailto:`, `tel:`, an anchor, or a URL with a space in it.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        // Browsers read a backslash as a slash: what stands before it is the host to them.
        let is_visible = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_target = is_web
            && !host.is_empty()
            && text.len() <= TARGET_LIMIT
            && text.chars().all(is_visible);
        is_target.then(|| Self(text.to_owned()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One message's targets, in the order of its links, as they were stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

impl Targets {
    /// Made of what the store has for a message, and of nothing that a request says.
    pub fn from_store(targets: Vec<Target>) -> Self {
        Self(targets)
    }

    /// Which link leads there. `None`: it was not stored, and no link may be made of it.
    pub fn number_of(&self, target: &Target) -> Option<u16> {
        let at = self.0.iter().position(|stored| stored == target)?;
        u16::try_from(at).ok()
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The target of the link of this number. `None`: show a page that leads nowhere.
    pub fn at(&self, link: u16) -> Option<Destination<'_>> {
        self.0.get(usize::from(link)).map(Destination)
    }

    /// The stored target that a legacy link asks for, byte for byte. `None`: show a page that leads nowhere; the link may
    /// be anybody's.
    pub fn matching(&self, asked: &str) -> Option<Destination<'_>> {
        self.0
            .iter()
            .find(|target| target.0 == asked)
            .map(Destination)
    }
}

/// A stored target that a reader may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a>(&'a Target);

impl Destination<'_> {
    /// The text of a `Location` header: ASCII, other characters percent-encoded. A host in another script takes its ASCII form.
    pub fn location(&self) -> String {
        let target = self.0.as_str();
        let start = target.find("://").map_or(0, |at| at + 3);
        let end = target[start..]
            .find(['/', '?', '#'])
            .map_or(target.len(), |at| start + at);
        let host = &target[start..end];
        // A user's name in front of the host keeps it from being converted; it is percent-encoded then, and leads nowhere.
        let ascii = match host.is_ascii() {
            true => None,
            false => idna::domain_to_ascii(host).ok(),
        };
        let mut location = target[..start].to_owned();
        push_encoded(&mut location, ascii.as_deref().unwrap_or(host));
        push_encoded(&mut location, &target[end..]);
        location
    }
}

/// What a URL may not have as it is (RFC 3986); a percent sign stays, because it is an encoding already.
fn push_encoded(out: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(targets: &[&str]) -> Targets {
        Targets::from_store(
            targets
                .iter()
                .map(|text| Target::parse(text).unwrap())
                .collect(),
        )
    }

    #[test]
    fn only_the_web_is_a_target() {
        for text in [
            "http://x.test",
            "HTTPS://x.test/a?b=c#d",
            "https://bücher.example/ä",
        ] {
            assert!(Target::parse(text).is_some(), "{text}");
        }
        for text in [
            "mailto:a@x.test",
            "tel:+49",
            "#top",
            "/path",
            "//x.test",
            "javascript://x.test/%0aalert(1)",
            "data:text/html,x",
            "https://",
            "https:///x.test",
            "https://x.test\\@y.test",
            "https://x.test/\r\nSet-Cookie: a=b",
            "https://x.test/a b",
            " https://x.test",
            "",
            &format!("https://x.test/{}", "a".repeat(TARGET_LIMIT)),
        ] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_click_leads_to_a_stored_target_or_nowhere() {
        let targets = stored(&["https://x.test/1", "https://x.test/2"]);
        assert_eq!(targets.at(1).unwrap().location(), "https://x.test/2");
        assert_eq!(targets.at(2), None);
        assert_eq!(
            targets.matching("https://x.test/1").unwrap().location(),
            "https://x.test/1"
        );
        for asked in [
            "https://evil.test/",
            "https://x.test/1.evil.test",
            "https://x.test/1?next=evil",
            "https://X.test/1",
            "https://x.test",
            "",
        ] {
            assert_eq!(targets.matching(asked), None, "{asked}");
        }
    }

    #[test]
    fn a_targets_number_is_its_place() {
        let targets = stored(&["https://x.test/1", "https://x.test/2"]);
        let number = |text| targets.number_of(&Target::parse(text).unwrap());
        assert_eq!(number("https://x.test/2"), Some(1));
        assert_eq!(number("https://x.test/3"), None);
    }

    #[test]
    fn a_location_is_ascii() {
        let location = |text: &str| stored(&[text]).at(0).unwrap().location();
        assert_eq!(
            location("https://bücher.example/ä?q=\"1\"&p=%20#{x}"),
            "https://xn--bcher-kva.example/%C3%A4?q=%221%22&p=%20#%7Bx%7D"
        );
        assert_eq!(
            location("http://x.test:8080/a/../b"),
            "http://x.test:8080/a/../b"
        );
    }
}
