//! The streams of a connection of HTTP/2: whose body is waited for, and how many were reset.
//!
//! Its own file, because the library that speaks HTTP/2 keeps no time and counts neither the requests that a client takes
//! back as fast as it makes them (CVE-2023-44487) nor those that it makes the server take back (CVE-2025-8671). Pure.

use std::collections::BTreeMap;
use std::time::Instant;

use super::flaw::Flaw;
use super::frames::{DATA, Frame, Frames, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE, frame};
use super::http2::STREAM_WINDOW;
use super::inbound::Deadlines;
use super::pace::{Pace, Verdict};

/// Of a connection, before either side says otherwise (RFC 9113, 6.9.2).
const FIRST_WINDOW: i64 = 65_535;
/// The reason of a GOAWAY (RFC 9113, 7).
const ENHANCE_YOUR_CALM: u32 = 11;
/// Streams that may be reset beyond those that were answered to their end: a browser that leaves a page takes back each request
/// that it has, of which there are 100 at most.
const RESETS: u32 = 200;
/// Bodies that are looked after. More are open only where the limit of streams is broken, which the library sees to.
const BODIES: usize = 256;

#[derive(Debug)]
pub struct Streams {
    inbound: Frames,
    outbound: Frames,
    /// The streams whose bodies have not ended.
    bodies: BTreeMap<u32, Upload>,
    /// What the client may send on all of them.
    room: i64,
    newest: u32,
    by_client: u32,
    by_us: u32,
}

#[derive(Debug)]
struct Upload {
    /// Runs while the client may send.
    pace: Pace,
    room: i64,
}

/// What was among the frames that the client is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sent {
    Nothing,
    /// Something that lets a body go on, which is waited for from now on.
    Leave,
    /// The library's own end of a client that does too much (ENHANCE_YOUR_CALM).
    Flood,
}

/// When to look again, or the stream that has had its time.
pub type Patience = Result<Instant, u32>;

impl Default for Streams {
    fn default() -> Self {
        Self {
            inbound: Frames::from_client(),
            outbound: Frames::from_server(),
            bodies: BTreeMap::new(),
            room: FIRST_WINDOW,
            newest: 0,
            by_client: 0,
            by_us: 0,
        }
    }
}

impl Streams {
    /// Takes note of what the client sent.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flaw> {
        while let Some(frame) = self.inbound.next(&mut bytes) {
            self.receive(frame, now)?;
        }
        Ok(())
    }

    /// Takes note of what the client is sent.
    pub fn sent(&mut self, mut bytes: &[u8], now: Instant) -> Result<Sent, Flaw> {
        let mut sent = Sent::Nothing;
        while let Some(frame) = self.outbound.next(&mut bytes) {
            sent = sent.max(self.send(frame, now)?);
        }
        Ok(sent)
    }

    fn receive(&mut self, frame: Frame, now: Instant) -> Result<(), Flaw> {
        match frame.kind {
            HEADERS if frame.stream > self.newest => {
                self.newest = frame.stream;
                if !frame.ends() && self.bodies.len() < BODIES {
                    let mut upload = Upload {
                        pace: Pace::default(),
                        room: i64::from(STREAM_WINDOW),
                    };
                    if self.room > 0 {
                        upload.pace.begin(now);
                    }
                    self.bodies.insert(frame.stream, upload);
                }
            }
            DATA => self.take(frame, now),
            RST_STREAM => {
                self.bodies.remove(&frame.stream);
                self.by_client += 1;
                if self.by_client > RESETS {
                    return Err(Flaw::Resets);
                }
            }
            _ => {}
        }
        if frame.ends() {
            self.bodies.remove(&frame.stream);
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame, now: Instant) {
        let length = i64::from(frame.length);
        self.room -= length;
        if let Some(upload) = self.bodies.get_mut(&frame.stream) {
            upload.room -= length;
            upload.pace.end(now, u64::from(frame.length));
            if upload.room > 0 && self.room > 0 {
                upload.pace.begin(now);
            }
        }
        if self.room <= 0 {
            for upload in self.bodies.values_mut() {
                upload.pace.end(now, 0);
            }
        }
    }

    fn send(&mut self, frame: Frame, now: Instant) -> Result<Sent, Flaw> {
        let mut sent = Sent::Nothing;
        match frame.kind {
            WINDOW_UPDATE => {
                let more = i64::from(frame.value);
                match self.bodies.get_mut(&frame.stream) {
                    Some(upload) => upload.room += more,
                    None if frame.stream == 0 => self.room += more,
                    None => {}
                }
                if self.room > 0 {
                    for upload in self.bodies.values_mut().filter(|u| u.room > 0) {
                        if !upload.pace.is_waiting() {
                            sent = Sent::Leave;
                        }
                        upload.pace.begin(now);
                    }
                }
            }
            RST_STREAM => {
                self.bodies.remove(&frame.stream);
                self.by_us += 1;
                if self.by_us > RESETS {
                    return Err(Flaw::ProvokedResets);
                }
            }
            GOAWAY if frame.value == ENHANCE_YOUR_CALM => sent = Sent::Flood,
            _ => {}
        }
        if frame.ends() {
            self.bodies.remove(&frame.stream);
            self.by_client = self.by_client.saturating_sub(1);
            self.by_us = self.by_us.saturating_sub(1);
        }
        Ok(sent)
    }

    /// Nothing comes. `None`: no body is waited for.
    pub fn wait(&mut self, now: Instant, deadlines: &Deadlines) -> Option<Patience> {
        let mut next: Option<Instant> = None;
        for (stream, upload) in &mut self.bodies {
            if !upload.pace.is_waiting() {
                continue;
            }
            match upload.pace.judge(now, deadlines.body, deadlines.min_rate) {
                Verdict::TooSlow => return Some(Err(*stream)),
                Verdict::Wait(at) => next = Some(next.map_or(at, |other| other.min(at))),
            }
        }
        next.map(Ok)
    }

    /// Gives the stream up. Answers what, read in the client's place, makes the library reset that stream and tell the client;
    /// `None`: the client is in the middle of a frame, and nothing can stand there.
    ///
    /// These are two increments of a window, of which no window is small enough to bear both (RFC 9113, 6.9.1). The library has
    /// no other way for somebody beside it to end one stream.
    pub fn give_up(&mut self, stream: u32) -> Option<Vec<u8>> {
        self.bodies.remove(&stream);
        if !self.inbound.is_between() {
            return None;
        }
        let largest = 0x7fff_ffff_u32.to_be_bytes();
        let one = frame(WINDOW_UPDATE, 0, stream, &largest);
        Some([&one[..], &one[..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    fn deadlines() -> Deadlines {
        Deadlines {
            head: PERIOD,
            body: PERIOD,
            tunnel_idle: PERIOD,
            min_rate: 0,
        }
    }

    /// A connection after its preface, and its first moment.
    fn streams() -> (Streams, Instant) {
        let (mut streams, now) = (Streams::default(), Instant::now());
        streams.received(&[b' '; 24], now).expect("the preface");
        (streams, now)
    }

    fn data(stream: u32, length: usize) -> Vec<u8> {
        frame(DATA, 0, stream, &vec![0; length])
    }

    #[test]
    fn a_body_that_stops_is_found_out_and_the_others_are_not() {
        let (mut streams, start) = streams();
        let at = |seconds| start + Duration::from_secs(seconds);
        for stream in [1, 3, 5] {
            let head = frame(HEADERS, 4, stream, b"");
            streams.received(&head, start).expect("in order");
        }
        streams
            .received(&frame(DATA, 1, 5, b"end"), start)
            .expect("in order");
        for second in 0..30 {
            streams.received(&data(3, 1), at(second)).expect("in order");
            assert_eq!(streams.wait(at(second), &deadlines()), Some(Ok(at(30))));
        }
        assert_eq!(streams.wait(at(30), &deadlines()), Some(Err(1)));
        assert!(streams.give_up(1).is_some());
        assert!(matches!(streams.wait(at(30), &deadlines()), Some(Ok(_))));
        streams
            .received(&frame(RST_STREAM, 0, 3, &[0; 4]), at(30))
            .expect("in order");
        assert_eq!(streams.wait(at(3600), &deadlines()), None);
    }

    #[test]
    fn who_may_not_send_is_not_waited_for() {
        let (mut streams, start) = streams();
        let later = start + Duration::from_secs(3600);
        streams
            .received(&frame(HEADERS, 4, 1, b""), start)
            .expect("in order");
        streams.received(&data(1, 65_535), start).expect("in order");
        assert_eq!(streams.wait(later, &deadlines()), None);
        let more = 65_535_u32.to_be_bytes();
        let of_stream = frame(WINDOW_UPDATE, 0, 1, &more);
        assert_eq!(streams.sent(&of_stream, later), Ok(Sent::Nothing));
        let of_all = frame(WINDOW_UPDATE, 0, 0, &more);
        assert_eq!(streams.sent(&of_all, later), Ok(Sent::Leave));
        // What came before counts for the first period.
        let (next, last) = (later + PERIOD, later + 2 * PERIOD);
        assert_eq!(streams.wait(next, &deadlines()), Some(Ok(last)));
        assert_eq!(streams.wait(last, &deadlines()), Some(Err(1)));
    }

    #[test]
    fn an_answer_ends_the_wait_for_the_rest_of_the_body() {
        let (mut streams, start) = streams();
        streams
            .received(&frame(HEADERS, 4, 1, b""), start)
            .expect("in order");
        streams
            .sent(&frame(HEADERS, 5, 1, b""), start)
            .expect("in order");
        assert_eq!(streams.wait(start + PERIOD, &deadlines()), None);
    }

    #[test]
    fn resets_are_counted_against_answers() {
        let (mut streams, now) = streams();
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        let answer = frame(HEADERS, 5, 1, b"");
        for _ in 0..10_000 {
            assert_eq!(streams.received(&reset, now), Ok(()));
            assert_eq!(streams.sent(&answer, now), Ok(Sent::Nothing));
        }
        for _ in 0..RESETS {
            assert_eq!(streams.received(&reset, now), Ok(()));
            assert_eq!(streams.sent(&reset, now), Ok(Sent::Nothing));
        }
        assert_eq!(streams.received(&reset, now), Err(Flaw::Resets));
        assert_eq!(streams.sent(&reset, now), Err(Flaw::ProvokedResets));
    }

    #[test]
    fn nothing_is_said_in_the_middle_of_a_frame() {
        let (mut streams, start) = streams();
        streams
            .received(&frame(HEADERS, 4, 1, b""), start)
            .expect("in order");
        streams
            .received(&data(1, 100)[..50], start)
            .expect("in order");
        assert_eq!(streams.give_up(1), None);
    }
}
