//! A request's head, checked to the letter of RFC 9112 while it arrives.
//!
//! Its own file, because this is the one place where bytes are judged before any parser makes something of them: what
//! two parsers could read differently goes no further. Pure, without allocation, and cheap: every request passes here.

use memchr::memchr;

use super::field::{
    authority_of, is_clean, is_coding_unknown, is_host, is_method, is_target, length_of,
    name_length, trim,
};
use super::flaw::Flaw;
use crate::proxy::Limits;

/// Bytes of a request line beside its target: a method as long as any that is registered, blanks and the version.
const LINE_BESIDE_TARGET: usize = 64;

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(u64),
    Chunked,
}

/// A head without a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the head ends in the bytes that were given.
    pub end: usize,
    pub framing: Framing,
    /// It asks for another protocol.
    pub upgrade: bool,
}

/// The checks so far. All positions are in the bytes of the head, which are given again with what came after them.
#[derive(Debug, Default)]
pub struct Checker {
    /// The first line that has not been checked.
    line: usize,
    /// The first byte of it in which no end of a line was looked for.
    looked: usize,
    has_line: bool,
    blank_lines: u8,
    is_old: bool,
    fields: usize,
    bytes: usize,
    /// The target's authority, where the target is absolute.
    authority: Option<(usize, usize)>,
    host: Option<(usize, usize)>,
    length: Option<u64>,
    is_chunked: bool,
    upgrade: bool,
}

impl Checker {
    /// Checks what is new in `head`, the bytes of the head so far and perhaps more. `None`: it is not whole yet.
    pub fn check(&mut self, head: &[u8], limits: &Limits) -> Result<Option<Head>, Flaw> {
        while let Some(found) = head.get(self.looked..).and_then(|new| memchr(b'\n', new)) {
            let end = self.looked + found;
            let line = (end.checked_sub(1).filter(|cr| *cr >= self.line))
                .filter(|cr| head[*cr] == b'\r')
                .map(|cr| &head[self.line..cr])
                .ok_or(Flaw::BareLf)?;
            let start = std::mem::replace(&mut self.line, end + 1);
            self.looked = self.line;
            match (self.has_line, line.is_empty()) {
                (true, true) => return self.finish(head).map(Some),
                (true, false) => self.field(line, start, limits)?,
                // One is forgiven: old clients sent it after a body (RFC 9112, 2.2).
                (false, true) if self.blank_lines == 0 => self.blank_lines = 1,
                (false, true) => return Err(Flaw::EmptyLines),
                (false, false) => self.request_line(line, start, limits)?,
            }
        }
        self.partial(&head[self.line.min(head.len())..], limits)?;
        self.looked = head.len();
        Ok(None)
    }

    /// A line whose end has not come: what is too much already, and what can never become a line.
    fn partial(&self, line: &[u8], limits: &Limits) -> Result<(), Flaw> {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let seen = (self.looked - self.line.min(self.looked)).saturating_sub(1);
        if !is_clean(text.get(seen..).unwrap_or_default()) {
            return Err(Flaw::Control);
        }
        if !self.has_line {
            return match line.len() > limits.uri_bytes + LINE_BESIDE_TARGET {
                true => Err(Flaw::UriTooLong),
                false => Ok(()),
            };
        }
        match self.bytes + line.len() > limits.header_bytes + LINE_BESIDE_TARGET {
            true => Err(Flaw::HeadTooLarge),
            false => Ok(()),
        }
    }

    fn request_line(&mut self, line: &[u8], start: usize, limits: &Limits) -> Result<(), Flaw> {
        self.has_line = true;
        if !is_clean(line) {
            return Err(Flaw::Control);
        }
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Flaw::RequestLine);
        };
        if !is_method(method) {
            return Err(Flaw::Method);
        }
        match version {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.is_old = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Flaw::Version);
            }
            _ => return Err(Flaw::RequestLine),
        }
        // Neither is for a proxy in front of one application: CONNECT opens tunnels, TRACE shows what fields we added.
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Flaw::MethodRefused);
        }
        if target.len() > limits.uri_bytes {
            return Err(Flaw::UriTooLong);
        }
        if !is_target(target) {
            return Err(Flaw::Target);
        }
        match target {
            [b'/', ..] => {}
            b"*" if method == b"OPTIONS" => {}
            _ => {
                let (from, to) = authority_of(target).ok_or(Flaw::Target)?;
                let at = start + method.len() + 1;
                self.authority = Some((at + from, at + to));
            }
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8], start: usize, limits: &Limits) -> Result<(), Flaw> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Flaw::Folded);
        }
        if !is_clean(line) {
            return Err(Flaw::Control);
        }
        let colon = name_length(line).ok_or(Flaw::FieldName)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        self.fields += 1;
        self.bytes += line.len();
        if self.fields > limits.header_count || self.bytes > limits.header_bytes {
            return Err(Flaw::HeadTooLarge);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                let value = trim(value);
                if !is_host(value) {
                    return Err(Flaw::Host);
                }
                // `value` is a part of `line`, somewhere after the colon.
                let at = start + colon + 1 + leading(&line[colon + 1..]);
                match self.host.replace((at, at + value.len())) {
                    None => {}
                    Some(_) => return Err(Flaw::TwoHosts),
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = length_of(trim(value)).ok_or(Flaw::Length)?;
                if self.length.replace(length).is_some() {
                    return Err(Flaw::Length);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let value = trim(value);
                if self.is_chunked {
                    return Err(Flaw::Coding);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(match is_coding_unknown(value) {
                        true => Flaw::CodingRefused,
                        false => Flaw::Coding,
                    });
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// What only the whole head can tell.
    fn finish(&self, head: &[u8]) -> Result<Head, Flaw> {
        match (self.host, self.authority) {
            (None, None) if self.is_old => {}
            (None, _) => return Err(Flaw::NoHost),
            (Some(host), Some(authority))
                if head[host.0..host.1] != head[authority.0..authority.1] =>
            {
                return Err(Flaw::HostDiffers);
            }
            _ => {}
        }
        let framing = match (self.is_chunked, self.length) {
            (true, Some(_)) => return Err(Flaw::TwoFramings),
            // Who speaks 1.0 knows no chunks: somebody between us has meddled (RFC 9112, 6.1).
            (true, None) if self.is_old => return Err(Flaw::Coding),
            (true, None) => Framing::Chunked,
            (false, None | Some(0)) => Framing::Nothing,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(Head {
            end: self.line,
            framing,
            upgrade: self.upgrade && !self.is_old,
        })
    }
}

/// Blanks before a value.
fn leading(value: &[u8]) -> usize {
    value
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count()
}

#[cfg(test)]
mod tests;
