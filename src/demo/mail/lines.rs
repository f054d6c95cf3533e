//! Lines of an SMTP dialogue, read in bounded memory and bounded time.
//!
//! Its own file, because it is what stands between a hostile client and our memory.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Bytes of a line: RFC 5321 asks for 512 in commands and 1000 in messages, and real senders exceed it.
pub const LONGEST_LINE: usize = 16 * 1024;
/// For one line. RFC 5321 asks for five minutes, which suits a mailbox and not a demo.
const PATIENCE: Duration = Duration::from_secs(60);

pub enum Line {
    /// With its line end.
    Whole(Vec<u8>),
    /// Read to its end and thrown away.
    TooLong,
    End,
}

pub async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let room = (LONGEST_LINE + 1) as u64;
        let read = tokio::time::timeout(
            PATIENCE,
            (&mut *reader).take(room).read_until(b'\n', &mut line),
        )
        .await??;
        if read == 0 {
            return Ok(Line::End);
        }
        let ended = line.ends_with(b"\n");
        too_long |= line.len() > LONGEST_LINE;
        match (ended, too_long) {
            (true, true) => return Ok(Line::TooLong),
            (true, false) => return Ok(Line::Whole(line)),
            (false, true) => line.clear(),
            (false, false) => {}
        }
    }
}
