//! Where a request's body ends, counted as its bytes pass.
//!
//! Its own file, because that end is the beginning of the next request: who counts it wrongly takes a body for a
//! request. Pure; the data of chunks is skipped, and only what stands between it is looked at.

use super::field::is_clean;
use super::flaw::Flaw;
use super::head::Framing;

/// A chunk's size with its extensions, which nobody here reads; one that is longer wants to keep somebody busy.
const LONGEST_LINE: u16 = 256;
/// All trailers. They are read, and go no further.
const MOST_TRAILERS: u16 = 8192;
/// Hexadecimal digits of a size: 2^60 bytes, and nothing that could overflow.
const MOST_DIGITS: u8 = 15;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    Chunked(Chunks),
}

/// Where in the chunks we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// In the digits: their value and number.
    Size(u64, u8),
    /// After the digits, before the line's end: the size and the bytes of the line.
    Extension(u64, u16),
    /// After the CR of a size's line.
    SizeEnd(u64),
    Data(u64),
    /// After the data: its CR and LF.
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk: the bytes of trailers.
    Trailer(u16),
    /// In a trailer.
    InTrailer(u16),
    /// After its CR.
    TrailerLf(u16),
    /// After the CR of the line that ends it all.
    LastLf,
}

impl From<Framing> for Body {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Nothing => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::Size(0, 0)),
        }
    }
}

impl Body {
    /// Takes what belongs to the body, and answers how many of `bytes` that was.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Flaw> {
        match self {
            Self::Done => Ok(0),
            Self::Length(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *left -= taken;
                if *left == 0 {
                    *self = Self::Done;
                }
                // No more than the length of `bytes`.
                Ok(taken as usize)
            }
            Self::Chunked(chunks) => {
                let (mut state, mut at) = (*chunks, 0);
                while at < bytes.len() {
                    if let Chunks::Data(left) = state {
                        let taken = left.min((bytes.len() - at) as u64);
                        at += taken as usize;
                        state = match left - taken {
                            0 => Chunks::DataCr,
                            left => Chunks::Data(left),
                        };
                        continue;
                    }
                    let next = state.next(bytes[at])?;
                    at += 1;
                    let Some(next) = next else {
                        *self = Self::Done;
                        return Ok(at);
                    };
                    state = next;
                }
                *chunks = state;
                Ok(at)
            }
        }
    }
}

impl Chunks {
    /// After one byte that is not data. `None`: that was the last one.
    fn next(self, byte: u8) -> Result<Option<Self>, Flaw> {
        let next = match (self, byte) {
            (Self::Size(size, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < MOST_DIGITS =>
            {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                Self::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Self::Size(size, 1..), b'\r') | (Self::Extension(size, _), b'\r') => {
                Self::SizeEnd(size)
            }
            (Self::Size(size, 1..), b';') => Self::Extension(size, 0),
            (Self::Extension(size, length), _) if length < LONGEST_LINE && is_clean(&[byte]) => {
                Self::Extension(size, length + 1)
            }
            (Self::SizeEnd(0), b'\n') => Self::Trailer(0),
            (Self::SizeEnd(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size(0, 0),
            (Self::Trailer(_), b'\r') => Self::LastLf,
            (Self::LastLf, b'\n') => return Ok(None),
            (Self::InTrailer(length), b'\r') => Self::TrailerLf(length),
            (Self::TrailerLf(length), b'\n') => Self::Trailer(length),
            (Self::Trailer(_), b' ' | b'\t' | b':') => return Err(Flaw::Trailer),
            (Self::Trailer(length) | Self::InTrailer(length), _)
                if length < MOST_TRAILERS && is_clean(&[byte]) =>
            {
                Self::InTrailer(length + 1)
            }
            (Self::Trailer(_) | Self::InTrailer(_) | Self::TrailerLf(_) | Self::LastLf, _) => {
                return Err(Flaw::Trailer);
            }
            _ => return Err(Flaw::Chunk),
        };
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked() -> Body {
        Body::from(Framing::Chunked)
    }

    #[test]
    fn a_body_of_a_length_ends_there() {
        let mut body = Body::from(Framing::Length(5));
        assert_eq!(body.take(b"abc"), Ok(3));
        assert_eq!((body.take(b"deGET /"), body), (Ok(2), Body::Done));
        assert_eq!(body.take(b"GET /"), Ok(0));
    }

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        let message = b"4\r\nWiki\r\n0A;name=\"v\"\r\n0123456789\r\n0;x\r\nx-t: 1\r\nx-u:\r\n\r\n";
        let mut wire = message.to_vec();
        wire.extend_from_slice(b"GET / HTTP/1.1");
        for step in 1..wire.len() {
            let (mut body, mut taken) = (chunked(), 0);
            for piece in wire.chunks(step) {
                taken += body.take(piece).expect("no flaw");
            }
            assert_eq!(
                (taken, body),
                (message.len(), Body::Done),
                "in pieces of {step}"
            );
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for wrong in [
            &b"\r\n"[..],
            b"4\nWiki\r\n",
            b"4\r\nWiki\n",
            b"4\r\nWikix\r\n",
            b"4 \r\nWiki\r\n",
            b" 4\r\nWiki\r\n",
            b"0x4\r\nWiki\r\n",
            b"-4\r\n",
            b"+4\r\n",
            b"g\r\n",
            b";x\r\n",
            b"4;a\nb\r\nWiki\r\n",
            b"4;a\rb\r\n",
            b"4;\0\r\n",
            b"0\n\r\n",
            b"10000000000000000\r\n",
        ] {
            assert_eq!(
                chunked().take(wrong),
                Err(Flaw::Chunk),
                "{}",
                wrong.escape_ascii()
            );
        }
        for wrong in [
            &b"0\r\n\n"[..],
            b"0\r\nx: 1\n\r\n",
            b"0\r\n x: 1\r\n\r\n",
            b"0\r\nx: \0\r\n\r\n",
            b"0\r\n: 1\r\n\r\n",
        ] {
            assert_eq!(
                chunked().take(wrong),
                Err(Flaw::Trailer),
                "{}",
                wrong.escape_ascii()
            );
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_bound() {
        let long = |n: usize| format!("4;{}\r\n", "x".repeat(n));
        assert!(chunked().take(long(250).as_bytes()).is_ok());
        assert_eq!(chunked().take(long(300).as_bytes()), Err(Flaw::Chunk));
        let trailers = |n: usize| format!("0\r\n{}\r\n", "x-trailer: 1\r\n".repeat(n));
        assert!(chunked().take(trailers(100).as_bytes()).is_ok());
        assert_eq!(
            chunked().take(trailers(1000).as_bytes()),
            Err(Flaw::Trailer)
        );
    }
}
