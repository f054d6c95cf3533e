//! The frames of HTTP/2 as they pass: what kind, of which stream, how long (RFC 9113, 4.1 and 6).
//!
//! Its own file, because bytes come and go in any pieces, and only their heads are looked at. Whether frames are in order is
//! not judged here: the library that speaks HTTP/2 does, and ends what is not.

/// What a client says before its first frame (RFC 9113, 3.4).
const PREFACE: u32 = 24;
const HEAD: usize = 9;
/// A head, and the two numbers with which a GOAWAY begins.
const WITH_VALUE: usize = HEAD + 8;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    flags: u8,
    /// 0: the connection itself.
    pub stream: u32,
    /// Bytes after the head.
    pub length: u32,
    /// Of a WINDOW_UPDATE: by how much. Of a GOAWAY: why.
    pub value: u32,
}

impl Frame {
    /// Whether it is the last of its stream in its direction.
    pub fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Frames {
    head: [u8; WITH_VALUE],
    have: usize,
    /// Bytes to pass over before the next head.
    skip: u32,
}

impl Frames {
    pub fn from_client() -> Self {
        Self {
            head: [0; WITH_VALUE],
            have: 0,
            skip: PREFACE,
        }
    }

    pub fn from_server() -> Self {
        Self {
            skip: 0,
            ..Self::from_client()
        }
    }

    /// Nothing of a frame has passed that has not passed whole.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    /// The next frame whose head is complete in `bytes`, which are shortened to what comes after it. `None`: they are used up.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            let passed = bytes.len().min(self.skip as usize);
            // No more than `skip`, which is 32 bits.
            self.skip -= passed as u32;
            *bytes = &bytes[passed..];
            let wanted = match self.have < HEAD {
                true => HEAD,
                false => HEAD + self.numbers(),
            };
            let taken = bytes.len().min(wanted - self.have);
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            *bytes = &bytes[taken..];
            if self.have < wanted {
                return None;
            }
            let numbers = self.numbers();
            if self.have < HEAD + numbers {
                continue;
            }
            let frame = self.read(numbers);
            self.have = 0;
            // At least the numbers: see there.
            self.skip = frame.length - numbers as u32;
            return Some(frame);
        }
    }

    /// Bytes that are looked at after the head. A frame that is too short for them is none of its kind, and the library says so.
    fn numbers(&self) -> usize {
        match (self.head[3], self.length()) {
            (WINDOW_UPDATE, 4) => 4,
            (GOAWAY, 8..) => 8,
            _ => 0,
        }
    }

    fn length(&self) -> u32 {
        u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]])
    }

    fn read(&self, numbers: usize) -> Frame {
        let word = |at: usize| {
            let bytes = [0, 1, 2, 3].map(|place| self.head[at + place]);
            u32::from_be_bytes(bytes) & 0x7fff_ffff
        };
        Frame {
            kind: self.head[3],
            flags: self.head[4],
            stream: word(5),
            length: self.length(),
            value: match numbers {
                0 => 0,
                // The last of them.
                _ => word(HEAD + numbers - 4),
            },
        }
    }
}

/// The head of a frame, and `payload`.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    // Only short ones are made here.
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frames: &mut Frames, mut bytes: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| frames.next(&mut bytes)).collect()
    }

    fn conversation() -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[0; 12]));
        bytes.extend(frame(HEADERS, 4, 1, b"fields"));
        bytes.extend(frame(DATA, 1, 1, b"all of it"));
        bytes.extend(frame(WINDOW_UPDATE, 0, 3, &70_000_u32.to_be_bytes()));
        bytes.extend(frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]));
        bytes.extend(frame(GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\x0btoo much"));
        bytes
    }

    #[test]
    fn frames_are_the_same_however_their_bytes_are_cut() {
        let bytes = conversation();
        let whole = all(&mut Frames::from_client(), &bytes);
        let kinds: Vec<_> = whole.iter().map(|f| (f.kind, f.stream, f.length)).collect();
        let expected = [
            (4, 0, 12),
            (1, 1, 6),
            (0, 1, 9),
            (8, 3, 4),
            (3, 3, 4),
            (7, 0, 16),
        ];
        assert_eq!(kinds, expected);
        assert_eq!((whole[3].value, whole[5].value), (70_000, 11));
        let ends: Vec<_> = whole.iter().map(Frame::ends).collect();
        assert_eq!(ends, [false, false, true, false, false, false]);
        for size in 1..bytes.len() {
            let mut frames = Frames::from_client();
            let cut: Vec<_> = bytes
                .chunks(size)
                .flat_map(|piece| all(&mut frames, piece))
                .collect();
            assert_eq!(cut, whole, "in pieces of {size}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn only_between_two_frames_is_between() {
        let mut frames = Frames::from_server();
        assert!(frames.is_between());
        let bytes = frame(DATA, 0, 1, b"abc");
        for (place, byte) in bytes.iter().enumerate() {
            all(&mut frames, &[*byte]);
            assert_eq!(frames.is_between(), place + 1 == bytes.len());
        }
    }

    #[test]
    fn a_window_update_of_a_wrong_length_is_passed_over_whole() {
        let mut bytes = frame(WINDOW_UPDATE, 0, 1, &[1; 6]);
        bytes.extend(frame(DATA, 0, 1, b""));
        let kinds: Vec<_> = all(&mut Frames::from_server(), &bytes)
            .iter()
            .map(|f| f.kind)
            .collect();
        assert_eq!(kinds, [WINDOW_UPDATE, DATA]);
    }
}
