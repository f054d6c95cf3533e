//! The sections of a configuration: finds keys in a section and in its defaults, and remembers every fault.
//!
//! Its own file, because a key that no reader takes is an unknown key: there is no second list that could disagree.
//! The types that a key may have are in `typed`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::{Table, Value};

use super::fault::{Fault, suggestion};
use super::{layers, outside, value};

/// What all sections of one reading share.
pub struct Reader<'e> {
    pub environment: &'e BTreeMap<String, String>,
    /// Dotted keys that the environment has set.
    pub from_environment: BTreeSet<String>,
    pub faults: RefCell<Vec<Fault>>,
    /// Files that `{ file = "…" }` has named.
    pub files: RefCell<Vec<PathBuf>>,
    /// Every key that was asked for, as `section.key`; the documentation is held against it.
    pub asked: RefCell<BTreeSet<String>>,
}

/// One section. `None` from any of its methods means that the fault is recorded.
pub struct Section<'r, 'e> {
    pub(super) reader: &'r Reader<'e>,
    path: String,
    /// The path without numbers and names of entries: what the documentation calls the section.
    kind: String,
    own: Table,
    /// Where keys come from that the section itself does not have.
    defaults: Option<(&'static str, &'r Table)>,
    /// The section is `[defaults.…]` itself: what it lacks is no fault.
    is_defaults: bool,
    /// Something else stands in the section's place, which is the one fault to tell.
    is_broken: bool,
    asked: Vec<&'static str>,
}

/// A value, and where it stands: in the section or in its defaults.
pub(super) struct Found {
    pub place: String,
    pub value: Value,
}

impl<'r, 'e> Section<'r, 'e> {
    pub fn root(reader: &'r Reader<'e>, own: Table) -> Self {
        Self {
            reader,
            path: String::new(),
            kind: String::new(),
            own,
            defaults: None,
            is_defaults: false,
            is_broken: false,
            asked: Vec::new(),
        }
    }

    /// The section itself as `[defaults.…]`: its keys are checked even when no entry uses them.
    pub fn of_defaults(reader: &'r Reader<'e>, path: &'static str, own: Table) -> Self {
        Self {
            path: path.to_owned(),
            kind: path.trim_start_matches("defaults.").to_owned(),
            is_defaults: true,
            ..Self::root(reader, own)
        }
    }

    fn entry(
        &self,
        key: &str,
        path: String,
        own: Table,
        defaults: Option<(&'static str, &'r Table)>,
    ) -> Self {
        let kind = match self.kind.as_str() {
            "" => key.to_owned(),
            kind => format!("{kind}.{key}"),
        };
        Self {
            reader: self.reader,
            path,
            kind,
            own,
            defaults,
            is_defaults: false,
            is_broken: false,
            asked: Vec::new(),
        }
    }

    pub fn is_defaults(&self) -> bool {
        self.is_defaults
    }

    /// Whether the section itself, not its defaults, has the key.
    pub fn has(&self, key: &str) -> bool {
        self.own.contains_key(key)
    }

    /// Whether the section or its defaults have the key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.has(key)
            || self
                .defaults
                .is_some_and(|(_, table)| table.contains_key(key))
    }

    /// Records a fault at one of the section's keys.
    pub fn fault(&self, key: &str, problem: impl Into<String>) {
        self.reader.add(Fault::new(self.place(key), problem));
    }

    /// Records a fault at the section itself.
    pub fn fault_here(&self, problem: impl Into<String>) {
        self.reader.add(Fault::new(self.path.clone(), problem));
    }

    /// The section's own keys, as they stand.
    pub(super) fn own(&self) -> Table {
        self.own.clone()
    }

    pub(super) fn place(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    // Sections within.

    /// A section by name; empty when it is not there.
    pub fn section(&mut self, key: &'static str) -> Self {
        let own = self.find_table(key);
        let section = self.entry(key, self.place(key), own.clone().unwrap_or_default(), None);
        Self {
            is_broken: own.is_none() || self.is_broken,
            ..section
        }
    }

    /// A section of an entry, with the same section of the entry's defaults, at `path`, below it key by key.
    pub fn part(&mut self, key: &'static str, path: &'static str) -> Self {
        let below = self
            .defaults
            .and_then(|(_, defaults)| defaults.get(key)?.as_table());
        let own = match self.has(key) {
            true => self.find_table(key),
            // What the defaults have is found key by key.
            false => {
                self.asked.push(key);
                self.document(key);
                Some(Table::new())
            }
        };
        let section = self.entry(
            key,
            self.place(key),
            own.clone().unwrap_or_default(),
            below.map(|table| (path, table)),
        );
        Self {
            is_broken: own.is_none() || self.is_broken,
            is_defaults: self.is_defaults,
            ..section
        }
    }

    /// A section that need not be there, or that stands in the defaults as a whole.
    pub fn optional_section(&mut self, key: &'static str) -> Option<Self> {
        let found = self.find(key)?;
        let Value::Table(own) = found.value else {
            let problem = format!("expected a section{}", got(&found.value));
            self.reader.add(Fault::new(&found.place, problem));
            return Some(Self {
                is_broken: true,
                ..self.entry(key, found.place, Table::new(), None)
            });
        };
        Some(self.entry(key, found.place, own, None))
    }

    /// Whether the value is a section, and not a short form of it.
    pub fn is_section(&self, key: &str) -> bool {
        let below = self.defaults.and_then(|(_, table)| table.get(key));
        let value = self.own.get(key).or(below);
        matches!(value, Some(Value::Table(table)) if outside::named_file(table).is_none())
    }

    /// `[key.NAME]` for every NAME, each with defaults below it.
    pub fn named(
        &mut self,
        key: &'static str,
        defaults: (&'static str, &'r Table),
    ) -> Vec<(String, Self)> {
        let expected =
            "is no valid name: expected a-z, then up to 62 of a-z, 0-9, '_', '.' and '-'";
        self.entries(key, Some(defaults), (value::is_name, expected))
    }

    /// As `named`, with another rule for names and the fault of breaking it.
    pub fn entries(
        &mut self,
        key: &'static str,
        defaults: Option<(&'static str, &'r Table)>,
        (is_name, expected): (fn(&str) -> bool, &str),
    ) -> Vec<(String, Self)> {
        let mut entries = Vec::new();
        for (name, value) in self.table(key) {
            let place = format!("{}.{name}", self.place(key));
            match value {
                _ if !is_name(&name) => self.reader.add(Fault::new(place, expected)),
                Value::Table(own) => entries.push((name, self.entry(key, place, own, defaults))),
                other => self.reader.add(Fault::new(
                    place,
                    format!("expected a section{}", got(&other)),
                )),
            }
        }
        entries
    }

    /// `[[key]]`, each with defaults below it.
    pub fn listed(&mut self, key: &'static str, defaults: (&'static str, &'r Table)) -> Vec<Self> {
        let Some(found) = self.find(key).map(|found| self.typed(found)) else {
            return Vec::new();
        };
        let Value::Array(items) = found.value else {
            self.reader.add(Fault::new(
                &found.place,
                format!(
                    "expected a list of sections, [[{key}]]{}",
                    got(&found.value)
                ),
            ));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{}[{index}]", found.place);
            match item {
                Value::Table(own) => entries.push(self.entry(key, place, own, Some(defaults))),
                other => self.reader.add(Fault::new(
                    place,
                    format!("expected a section{}", got(&other)),
                )),
            }
        }
        entries
    }

    /// A section as it stands, to be read later or below others.
    pub fn table(&mut self, key: &'static str) -> Table {
        self.find_table(key).unwrap_or_default()
    }

    fn find_table(&mut self, key: &'static str) -> Option<Table> {
        match self.find(key) {
            None => Some(Table::new()),
            Some(Found {
                value: Value::Table(table),
                ..
            }) => Some(table),
            Some(found) => {
                self.reader.add(Fault::new(
                    &found.place,
                    format!("expected a section, [{}]{}", found.place, got(&found.value)),
                ));
                None
            }
        }
    }

    /// What is left over is unknown.
    pub fn finish(self) {
        for (key, value) in &self.own {
            let place = self.place(key);
            let kind = if value.is_table() { "section" } else { "key" };
            let source = self.reader.source_of(&place);
            self.reader.add(Fault::new(
                place,
                format!(
                    "unknown {kind}{}{source}",
                    suggestion(key, self.asked.iter().copied())
                ),
            ));
        }
    }

    pub(super) fn find(&mut self, key: &'static str) -> Option<Found> {
        self.asked.push(key);
        self.document(key);
        if let Some(value) = self.own.remove(key) {
            return Some(Found {
                place: self.place(key),
                value,
            });
        }
        let (path, table) = self.defaults?;
        table.get(key).map(|value| Found {
            place: format!("{path}.{key}"),
            value: value.clone(),
        })
    }

    /// Notes that the key is one that the documentation must have.
    pub(super) fn document(&self, key: &str) {
        let key = format!("{}.{key}", self.kind);
        self.reader.asked.borrow_mut().insert(key);
    }

    pub(super) fn required(&mut self, key: &'static str) -> Option<Found> {
        let found = self.find(key);
        if found.is_none() && !self.is_defaults && !self.is_broken {
            self.fault(key, "is required");
        }
        found
    }
}

impl Reader<'_> {
    /// Once: an entry of `[defaults]` is read for each section that uses it.
    pub fn add(&self, fault: Fault) {
        let mut faults = self.faults.borrow_mut();
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }

    pub(super) fn source_of(&self, place: &str) -> String {
        // A section that only the environment made has no variable itself, but those of its keys.
        let is_within = |key: &str| {
            key.strip_prefix(place)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let key = self.from_environment.iter().find(|key| is_within(key));
        key.map(|key| format!(" (from {})", layers::variable_of(key)))
            .unwrap_or_default()
    }
}

/// ` (got …)`: the value as the file has it, never what `${NAME}` or a file put in, nor a password in a URL.
pub(super) fn got(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains("://") && text.contains('@') => {
            " (got a URL with a user name)".to_owned()
        }
        Value::String(text) if text.chars().count() > 80 => format!(
            " (got {:?})",
            text.chars().take(80).chain(['…']).collect::<String>()
        ),
        Value::String(text) => format!(" (got {text:?})"),
        Value::Array(_) => " (got a list)".to_owned(),
        Value::Table(table) => outside::named_file(table)
            .map_or(" (got a section)".to_owned(), |path| {
                format!(" (from {path})")
            }),
        other => format!(" (got {other})"),
    }
}
