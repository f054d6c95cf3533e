//! The messages that were caught: the newest in memory and on disk, the older ones gone.
//!
//! Its own file, because both the SMTP side and the page hold it, and its bound stands here.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// Messages kept; with the bound of the SMTP side, at most 1 GiB in theory and a few MiB in a demo.
const KEPT: usize = 1_000;

#[derive(Debug)]
pub struct Message {
    /// Counts from 1 in each run.
    pub number: u64,
    pub received_at: DateTime<Utc>,
    /// Of the envelope; empty for a bounce.
    pub sender: String,
    pub recipients: Vec<String>,
    /// As it came, dots unstuffed.
    pub raw: Bytes,
}

impl Message {
    /// The first header of that name, unfolded. Not decoded: what is shown is what was sent.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let mut lines = text.lines().take_while(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let Some((found, value)) = line.split_once(':') else {
                continue;
            };
            if !found.eq_ignore_ascii_case(name) {
                continue;
            }
            let mut value = value.trim().to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
                value.push(' ');
                value.push_str(more.trim());
            }
            return Some(value);
        }
        None
    }
}

#[derive(Debug, Default)]
struct Kept {
    received: u64,
    messages: VecDeque<Arc<Message>>,
}

#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

impl Store {
    /// Begins empty: what an earlier run left in `folder` is removed.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.path().extension().is_some_and(|it| it == "eml") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            kept: Mutex::default(),
        })
    }

    /// Writes the file before the message counts as received. Blocks; a demo's disk is not in anybody's way.
    pub fn add(&self, sender: String, recipients: Vec<String>, raw: Bytes) -> std::io::Result<u64> {
        let mut kept = self.lock();
        let number = kept.received + 1;
        fs::write(self.file(number), &raw)?;
        kept.received = number;
        kept.messages.push_front(Arc::new(Message {
            number,
            received_at: Utc::now(),
            sender,
            recipients,
            raw,
        }));
        while kept.messages.len() > KEPT {
            if let Some(oldest) = kept.messages.pop_back() {
                fs::remove_file(self.file(oldest.number))?;
            }
        }
        Ok(number)
    }

    pub fn received(&self) -> u64 {
        self.lock().received
    }

    pub fn newest_first(&self) -> Vec<Arc<Message>> {
        self.lock().messages.iter().cloned().collect()
    }

    pub fn get(&self, number: u64) -> Option<Arc<Message>> {
        self.lock()
            .messages
            .iter()
            .find(|it| it.number == number)
            .cloned()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:06}.eml"))
    }

    /// No code panics while it holds the lock, so what a poisoned one guards is whole.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_makes_room_in_memory_and_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for _ in 0..KEPT + 1 {
            store
                .add(String::new(), Vec::new(), Bytes::from_static(b"x"))
                .unwrap();
        }
        assert_eq!(store.received(), KEPT as u64 + 1);
        assert!(store.get(1).is_none());
        assert!(store.get(2).is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT);
    }

    #[test]
    fn a_folded_header_reads_as_one_line() {
        let raw = Bytes::from_static(b"To: a\r\nSubject: one\r\n two\r\n\r\nSubject: body");
        let message = Message {
            number: 1,
            received_at: Utc::now(),
            sender: String::new(),
            recipients: Vec::new(),
            raw,
        };
        assert_eq!(message.header("subject").as_deref(), Some("one two"));
        assert_eq!(message.header("x-none"), None);
    }
}
