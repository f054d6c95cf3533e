//! A server's reply: code, enhanced status code, text.
//!
//! Its own file and our own parser: smtp-proto keeps each part of an enhanced code in a byte, and `5.7.515`, by which
//! Outlook refuses a domain, is not told from any other above 255.

use std::fmt;

use thiserror::Error;

/// A reply to EHLO has some twenty lines; what is longer than this is no mail server.
pub const LONGEST: usize = 32 << 10;
/// Of the text of a reply that is kept, in characters.
const KEPT: usize = 1000;

/// Its text may repeat an address, so it prints without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub enhanced: Option<Enhanced>,
    /// Lines apart by `\n`, without their codes but with their enhanced codes, other control characters as spaces.
    pub text: String,
}

/// RFC 3463: class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced(pub u8, pub u16, pub u16);

/// What was read is no reply of SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the server's reply is none of SMTP")]
pub struct Malformed;

impl Reply {
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// It goes into a ledger, whatever a server has to say.
    pub fn clipped(mut self) -> Self {
        if let Some((at, _)) = self.text.char_indices().nth(KEPT) {
            self.text.truncate(at);
        }
        self
    }

    /// Reads the first reply in `bytes`, and tells how many bytes it took. `None`: its end is still to come.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let (mut code, mut lines, mut taken) = (None, Vec::new(), 0);
        loop {
            let rest = &bytes[taken..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return if bytes.len() > LONGEST {
                    Err(Malformed)
                } else {
                    Ok(None)
                };
            };
            taken += end + 1;
            if taken > LONGEST {
                return Err(Malformed);
            }
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let (of_line, is_last, text) = parse_line(line)?;
            // RFC 5321, 4.2.1: each line has the same.
            if *code.get_or_insert(of_line) != of_line {
                return Err(Malformed);
            }
            lines.push(String::from_utf8_lossy(text).replace(char::is_control, " "));
            if is_last {
                let reply = Self {
                    code: of_line,
                    enhanced: lines.iter().find_map(|it| Enhanced::at_start(it)),
                    text: lines.join("\n"),
                };
                return Ok(Some((reply, taken)));
            }
        }
    }
}

fn parse_line(line: &[u8]) -> Result<(u16, bool, &[u8]), Malformed> {
    let (digits, rest) = line.split_at_checked(3).ok_or(Malformed)?;
    let mut code = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Malformed);
        }
        code = code * 10 + u16::from(digit - b'0');
    }
    if !(200..600).contains(&code) {
        return Err(Malformed);
    }
    match rest.split_first() {
        // Some servers end a reply without text right after its code.
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(Malformed),
    }
}

impl Enhanced {
    fn at_start(text: &str) -> Option<Self> {
        let word = text.split_whitespace().next()?;
        let mut parts = word.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") {
            return None;
        }
        let number = |text: &str| {
            let is_number =
                (1..=3).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
            if is_number { text.parse().ok() } else { None }
        };
        Some(Self(class.parse().ok()?, number(subject)?, number(detail)?))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some(enhanced) => write!(f, "{} {enhanced}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Reply {
        let (reply, taken) = Reply::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(taken, text.len());
        reply
    }

    #[test]
    fn a_reply_has_code_enhanced_code_and_all_of_its_lines() {
        let reply = parse("550-5.7.26 Unauthenticated\r\n550 5.7.26 mail\u{7} from x\r\n");
        assert_eq!(reply.code, 550);
        assert_eq!(reply.enhanced, Some(Enhanced(5, 7, 26)));
        assert_eq!(reply.text, "5.7.26 Unauthenticated\n5.7.26 mail  from x");
        assert_eq!(
            parse("550 5.7.515 Access denied\r\n").enhanced,
            Some(Enhanced(5, 7, 515))
        );
        assert_eq!(parse("250\r\n").text, "");
        assert_eq!(parse("250 ok\n").text, "ok");
        for text in [
            "250 2.0 x",
            "250 10.0.0.1 x",
            "250 2.1.5.6",
            "250 2.1.5000 x",
            "354 go",
        ] {
            assert_eq!(parse(&format!("{text}\r\n")).enhanced, None, "{text}");
        }
    }

    #[test]
    fn the_second_reply_of_a_group_stays_for_the_next() {
        let bytes = b"250 one\r\n550 two\r\n";
        let (first, taken) = Reply::parse(bytes).unwrap().unwrap();
        assert_eq!((first.text.as_str(), taken), ("one", 9));
        let (second, _) = Reply::parse(&bytes[taken..]).unwrap().unwrap();
        assert_eq!(second.code, 550);
        assert_eq!(Reply::parse(b"250-one\r\n250 tw"), Ok(None));
    }

    #[test]
    fn what_is_no_reply_is_told() {
        for text in [
            "HTTP/1.1 400\r\n",
            "25\r\n",
            "250_x\r\n",
            "999 x\r\n",
            "150 x\r\n",
            "250-a\r\n550 b\r\n",
        ] {
            assert_eq!(Reply::parse(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(Reply::parse(&vec![b'2'; LONGEST + 1]), Err(Malformed));
        let endless = "250-x\r\n".repeat(LONGEST / 7 + 1);
        assert_eq!(Reply::parse(endless.as_bytes()), Err(Malformed));
    }

    #[test]
    fn a_reply_prints_without_its_text() {
        let reply = parse("550 5.1.1 <bob@example.com> unknown\r\n");
        assert_eq!(format!("{reply} {reply:?}"), "550 5.1.1 Reply(550 5.1.1)");
        let long = Reply {
            text: "ö".repeat(2000),
            ..reply
        };
        assert_eq!(long.clipped().text.chars().count(), 1000);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(Some((_, taken))) = Reply::parse(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
