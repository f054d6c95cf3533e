//! The links that legacy has sent: they stand in mails for years, and people still click on them.
//!
//! Its own file, because these formats are other programs': the application's own tracker, and the package
//! jdavidbakr/mail-tracker 4. That package redirects to whatever URL its link carries; here the URL is only asked for among
//! what is stored ([`super::target::Targets::matching`]).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use uuid::Uuid;

use super::target::TARGET_LIMIT;

/// The package's hashes: `Str::random(32)`.
const HASH_LENGTH: usize = 32;
/// Of a segment or a parameter: a target in base64 whose every character is percent-encoded.
const ENCODED_LIMIT: usize = TARGET_LIMIT * 4;

/// PHP writes the padding; mail programs lose it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an old link asks for. `url` is what the request says: look for it among what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegacyLink {
    /// `/tracker/{uuid}/open`
    TrackerOpen(Uuid),
    /// `/tracker/{uuid}/click`
    TrackerClick(Uuid),
    /// `/email/t/{hash}`
    Open { hash: String },
    /// `/email/l/{base64 of the URL, "$" for "/"}/{hash}` and `/email/n?l={url}&h={hash}`
    Click { hash: String, url: String },
}

/// `None`: none of legacy's forms. `query` is without its question mark.
pub fn parse(path: &str, query: Option<&str>) -> Option<LegacyLink> {
    if let Some(rest) = path.strip_prefix("/tracker/") {
        let (uuid, action) = rest.split_once('/')?;
        let uuid = hyphenated(uuid)?;
        return match action {
            "open" => Some(LegacyLink::TrackerOpen(uuid)),
            "click" => Some(LegacyLink::TrackerClick(uuid)),
            _ => None,
        };
    }
    let rest = path.strip_prefix("/email/")?;
    if let Some(open) = rest.strip_prefix("t/") {
        return Some(LegacyLink::Open { hash: hash(open)? });
    }
    if let Some(click) = rest.strip_prefix("l/") {
        // The URL is one segment: its slashes are dollar signs.
        let (url, found) = click.split_once('/')?;
        let url = decode_percent(url, false)?.replace('$', "/");
        let url = String::from_utf8(BASE64.decode(url).ok()?).ok()?;
        let hash = hash(found)?;
        return Some(LegacyLink::Click { hash, url });
    }
    (rest == "n").then_some(())?;
    let parameter = |name: &str| {
        let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == name)?;
        decode_percent(value, true)
    };
    let hash = hash(&parameter("h")?)?;
    let url = parameter("l")?;
    Some(LegacyLink::Click { hash, url })
}

fn hash(text: &str) -> Option<String> {
    let is_hash = text.len() == HASH_LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_hash.then(|| text.to_owned())
}

/// With its hyphens, as legacy writes it: `Uuid` reads three other forms.
fn hyphenated(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

/// `is_form`: a plus sign is a space, as in a query.
fn decode_percent(text: &str, is_form: bool) -> Option<String> {
    if text.len() > ENCODED_LIMIT {
        return None;
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' if is_form => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "abcdefghijABCDEFGHIJ0123456789xy";

    fn click(url: &str) -> Option<LegacyLink> {
        Some(LegacyLink::Click {
            hash: HASH.to_owned(),
            url: url.to_owned(),
        })
    }

    #[test]
    fn the_applications_own_links_are_read() {
        let uuid = Uuid::from_u128(0x7f);
        assert_eq!(
            parse(&format!("/tracker/{uuid}/open"), None),
            Some(LegacyLink::TrackerOpen(uuid))
        );
        assert_eq!(
            parse(&format!("/tracker/{uuid}/click"), Some("a=b")),
            Some(LegacyLink::TrackerClick(uuid))
        );
        for path in [
            format!("/tracker/{}/open", uuid.simple()),
            format!("/tracker/{uuid}"),
            format!("/tracker/{uuid}/delete"),
            format!("/tracker/{uuid}/open/"),
        ] {
            assert_eq!(parse(&path, None), None, "{path}");
        }
    }

    #[test]
    fn the_packages_links_are_read() {
        assert_eq!(
            parse(&format!("/email/t/{HASH}"), None),
            Some(LegacyLink::Open {
                hash: HASH.to_owned()
            })
        );
        // Its base64 has a slash, which a link writes as a dollar sign.
        let url = "https://x.test/???>>>?q=ü";
        let encoded = STANDARD.encode(url);
        assert!(encoded.contains('/'), "{encoded}");
        let encoded = encoded.replace('/', "$");
        for written in [
            encoded.clone(),
            encoded.replace('=', "%3D").replace('$', "%24"),
            encoded.trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(
                parse(&format!("/email/l/{written}/{HASH}"), None),
                click(url),
                "{written}"
            );
        }
        let query = format!("l=https%3A%2F%2Fx.test%2F%3Fa%3D1%26b%3Dx+y&h={HASH}");
        assert_eq!(
            parse("/email/n", Some(&query)),
            click("https://x.test/?a=1&b=x y")
        );
    }

    #[test]
    fn what_is_malformed_is_none_of_them() {
        let short = &HASH[1..];
        for (path, query) in [
            (format!("/email/t/{short}"), None),
            (format!("/email/t/{short}-"), None),
            (format!("/email/l/!!!/{HASH}"), None),
            (format!("/email/l/{HASH}"), None),
            (
                format!("/email/l/{}/{HASH}", STANDARD.encode([0xff, 0xfe])),
                None,
            ),
            ("/email/n".to_owned(), None),
            ("/email/n".to_owned(), Some(format!("h={HASH}"))),
            ("/email/n".to_owned(), Some(format!("h={HASH}&l=%f"))),
            (
                "/email/n".to_owned(),
                Some(format!("h={HASH}&l={}", "a".repeat(ENCODED_LIMIT + 1))),
            ),
            ("/email/nx".to_owned(), Some(format!("h={HASH}&l=a"))),
            ("/email/".to_owned(), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(parse(&path, query.as_deref()), None, "{path} {query:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(path in "/(tracker|email)/[tln]?/?[A-Za-z0-9%$=+/-]{0,60}", query in "[lh=&%+a-f0-9é]{0,40}") {
            let _ = parse(&path, Some(&query));
        }
    }
}
