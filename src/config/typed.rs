//! Takes a section's keys, each as the type that it has and within its bounds.
//!
//! Its own file, because with it a feature's reader is nothing but a list of keys, types and bounds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::fault::{Fault, suggestion};
use super::section::{Found, Section, got};
use super::{outside, value};
use crate::secret::Secret;

/// `None` means that the fault is recorded.
impl Section<'_, '_> {
    /// Text that `read` understands. Required.
    pub fn text<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.required(key)?;
        let text = self.expand(&found, false)?;
        read(&text)
            .map_err(|problem| self.refuse(&found, &problem))
            .ok()
    }

    /// As `text`; absent or `""` is `Some(None)`.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(found) = self.find(key) else {
            return Some(None);
        };
        let text = self.expand(&found, false)?;
        if text.is_empty() {
            return Some(None);
        }
        read(&text)
            .map(Some)
            .map_err(|problem| self.refuse(&found, &problem))
            .ok()
    }

    /// Text that no message repeats. `""` is taken without asking `check` unless it is required.
    pub fn secret(
        &mut self,
        key: &'static str,
        is_required: bool,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Secret> {
        let found = if is_required {
            self.required(key)?
        } else {
            self.find(key).unwrap_or(Found {
                place: String::new(),
                value: Value::String(String::new()),
            })
        };
        let text = self.expand(&found, true)?;
        if is_required || !text.is_empty() {
            check(&text)
                .map_err(|problem| self.refuse_secret(&found, &problem))
                .ok()?;
        }
        Some(Secret::new(text))
    }

    /// One of the words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.text(key, |text| {
            let named = words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value);
            let list = || {
                words
                    .iter()
                    .map(|(word, _)| format!("{word:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            named.ok_or_else(|| {
                format!(
                    "expected one of {}{}",
                    list(),
                    suggestion(text, words.iter().map(|(word, _)| *word))
                )
            })
        })
    }

    pub fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.measure(key, |text| {
            let duration = value::duration(text)?;
            let out = || {
                format!(
                    "must be from {} to {}",
                    value::show_duration(*bounds.start()),
                    value::show_duration(*bounds.end())
                )
            };
            if bounds.contains(&duration) {
                Ok(duration)
            } else {
                Err(out())
            }
        })
    }

    /// Bytes: text with a unit, or a plain number.
    pub fn size(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        self.measure(key, |text| {
            let size = value::size(text)?;
            let out = || {
                format!(
                    "must be from {} to {}",
                    value::show_size(*bounds.start()),
                    value::show_size(*bounds.end())
                )
            };
            if bounds.contains(&size) {
                Ok(size)
            } else {
                Err(out())
            }
        })
    }

    /// What `read` takes, or `absent` where the key is not there.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        absent: T,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        if self.holds(key) {
            return read(self, key);
        }
        self.find(key);
        Some(absent)
    }

    /// Texts under names that the file chooses, in the order of the names.
    pub fn texts<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<BTreeMap<String, T>> {
        let Some(within) = self.optional_section(key) else {
            return Some(BTreeMap::new());
        };
        let mut texts = BTreeMap::new();
        let named = within.own();
        let count = named.len();
        for (name, value) in named {
            within.document(&name);
            let item = Found {
                place: within.place(&name),
                value,
            };
            let Some(text) = within.expand(&item, false) else {
                continue;
            };
            match read(&text) {
                Ok(value) => drop(texts.insert(name, value)),
                Err(problem) => within.refuse(&item, &problem),
            }
        }
        (texts.len() == count).then_some(texts)
    }

    /// As `text`, and a number is judged as if it were text: it is the unit that is missing.
    fn measure<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.required(key)?;
        let text = match &found.value {
            Value::Integer(number) => number.to_string(),
            _ => self.expand(&found, false)?,
        };
        read(&text)
            .map_err(|problem| self.refuse(&found, &problem))
            .ok()
    }

    pub fn count(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let found = self.required(key)?;
        let found = self.typed(found);
        let number = found
            .value
            .as_integer()
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| bounds.contains(number));
        if number.is_none() {
            self.refuse(
                &found,
                &format!(
                    "expected a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                ),
            );
        }
        number
    }

    pub fn switch(&mut self, key: &'static str) -> Option<bool> {
        let found = self.required(key)?;
        let found = self.typed(found);
        let switch = found.value.as_bool();
        if switch.is_none() {
            self.refuse(&found, "expected true or false");
        }
        switch
    }

    /// A list of texts. From the environment, text that is no TOML array is a list of one.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let found = self.required(key)?;
        let found = self.typed(found);
        let items = match &found.value {
            Value::Array(items) => items.clone(),
            one @ Value::String(_) if self.reader.from_environment.contains(&found.place) => {
                vec![one.clone()]
            }
            _ => {
                self.refuse(&found, "expected a list such as [\"…\", \"…\"]");
                return None;
            }
        };
        let mut values = Vec::with_capacity(items.len());
        let count = items.len();
        for (index, value) in items.into_iter().enumerate() {
            let item = Found {
                place: format!("{}[{index}]", found.place),
                value,
            };
            let Some(text) = self.expand(&item, false) else {
                continue;
            };
            match read(&text) {
                Ok(value) => values.push(value),
                Err(problem) => self.refuse(&item, &problem),
            }
        }
        (values.len() == count).then_some(values)
    }

    /// A text of the environment as the TOML value that it spells, if it spells one.
    pub(super) fn typed(&self, found: Found) -> Found {
        match &found.value {
            Value::String(text) if self.reader.from_environment.contains(&found.place) => {
                match outside::as_toml(text) {
                    Some(value) => Found { value, ..found },
                    None => found,
                }
            }
            _ => found,
        }
    }

    /// The text with what comes from outside put in.
    fn expand(&self, found: &Found, is_secret: bool) -> Option<String> {
        let text = match &found.value {
            Value::String(text) => outside::expand(text, self.reader.environment),
            Value::Table(table) => match outside::named_file(table) {
                Some(path) => {
                    self.reader.files.borrow_mut().push(PathBuf::from(path));
                    outside::read_file(path)
                }
                None => Err("expected text, or { file = \"/path\" }".to_owned()),
            },
            _ => Err("expected text".to_owned()),
        };
        let refuse = |problem: String| {
            if is_secret {
                self.refuse_secret(found, &problem)
            } else {
                self.refuse(found, &problem)
            }
        };
        text.map_err(refuse).ok()
    }

    fn refuse(&self, found: &Found, problem: &str) {
        let source = self.reader.source_of(&found.place);
        self.reader.add(Fault::new(
            &found.place,
            format!("{problem}{}{source}", got(&found.value)),
        ));
    }

    fn refuse_secret(&self, found: &Found, problem: &str) {
        let source = self.reader.source_of(&found.place);
        let got = if found.value.is_table() {
            got(&found.value)
        } else {
            " (got ***)".to_owned()
        };
        self.reader
            .add(Fault::new(&found.place, format!("{problem}{got}{source}")));
    }
}
