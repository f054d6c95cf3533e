//! Lays the three sources over each other: compiled-in defaults, the file, the environment.
//!
//! Its own file, because what overrides what is decided here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::fault::Fault;

/// Variables that begin with this are configuration.
pub const ENV_PREFIX: &str = "FICUS__";

/// Reads TOML, or says at which line and column it is none.
/// The text itself is not repeated: the line that is wrong may hold a secret.
pub fn read_toml(text: &str) -> Result<Table, Vec<Fault>> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| syntax_fault(text, error))
        .collect();
    // The parser goes on behind an error and may stumble over its rest.
    faults.dedup_by(|later, earlier| later.key.split(',').next() == earlier.key.split(',').next());
    if !faults.is_empty() {
        return Err(faults);
    }
    text.parse()
        .map_err(|error| vec![syntax_fault(text, &error)])
}

fn syntax_fault(text: &str, error: &toml::de::Error) -> Fault {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let problem = error.message().lines().collect::<Vec<_>>().join("; ");
    Fault::new(format!("line {line}, column {column}"), problem)
}

/// Sections are merged key by key; everything else, lists too, is replaced as a whole.
pub fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets each `FICUS__SECTION__KEY` as text; its reader takes it for the type that the key has.
/// Returns the dotted keys that were set, and where a variable fits nowhere, why.
pub fn overlay_environment(
    base: &mut Table,
    environment: &BTreeMap<String, String>,
) -> (BTreeSet<String>, Vec<Fault>) {
    let mut set = BTreeSet::new();
    let mut faults = Vec::new();
    for (variable, text) in environment
        .range(ENV_PREFIX.to_owned()..)
        .take_while(|(name, _)| name.starts_with(ENV_PREFIX))
    {
        let path: Vec<String> = variable[ENV_PREFIX.len()..]
            .split("__")
            .map(str::to_ascii_lowercase)
            .collect();
        match set_at(base, &path, text) {
            Ok(key) => {
                set.insert(key);
            }
            Err(problem) => faults.push(Fault::new(variable, problem)),
        }
    }
    (set, faults)
}

fn set_at(base: &mut Table, path: &[String], text: &str) -> Result<String, String> {
    let Some((key, sections)) = path
        .split_last()
        .filter(|_| path.iter().all(|name| !name.is_empty()))
    else {
        return Err(
            "has an empty name between its double underscores; expected FICUS__SECTION__KEY"
                .to_owned(),
        );
    };
    if sections.is_empty()
        && !matches!(base.get(key), Some(Value::Array(_)))
        && !matches!(key.as_str(), "route" | "tenant")
    {
        return Err("names a section without a key; expected FICUS__SECTION__KEY".to_owned());
    }
    let mut table = base;
    for (depth, name) in sections.iter().enumerate() {
        let entry = table
            .entry(name.clone())
            .or_insert_with(|| Value::Table(Table::new()));
        // FICUS__DATABASE__URL__FILE=/path is `url = { file = "/path" }`.
        if depth > 0 && depth + 1 == sections.len() && key == "file" && !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        table = match entry {
            Value::Table(inner) => inner,
            Value::Array(_) => {
                return Err(format!(
                    "goes into {name:?}, which is a list; set the whole list as a TOML array"
                ));
            }
            _ => return Err(format!("goes into {name:?}, which is no section")),
        };
    }
    if table.get(key).is_some_and(is_section) {
        return Err(format!("sets {key:?}, which is a section; set its keys"));
    }
    table.insert(key.clone(), Value::String(text.to_owned()));
    Ok(path.join("."))
}

fn is_section(value: &Value) -> bool {
    value
        .as_table()
        .is_some_and(|table| !table.contains_key("file"))
}

/// The variable that sets a dotted key.
pub fn variable_of(key: &str) -> String {
    format!(
        "{ENV_PREFIX}{}",
        key.to_ascii_uppercase().replace('.', "__")
    )
}

/// The offset in the text at which each dotted key stands, so that faults can be told in the order of the file.
pub fn places(text: &str) -> BTreeMap<String, usize> {
    let mut places = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        place_table(table.get_ref(), "", &mut places);
    }
    places
}

fn place_table(table: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let place = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{path}.{}", key.get_ref())
        };
        places.insert(place.clone(), key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => place_table(inner, &place, places),
            DeValue::Array(list) => {
                for (index, item) in list.iter().enumerate() {
                    let place = format!("{place}[{index}]");
                    places.insert(place.clone(), item.span().start);
                    if let DeValue::Table(inner) = item.get_ref() {
                        place_table(inner, &place, places);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Where a fault's key stands: its own place, else that of the nearest section around it, else behind everything.
pub fn place_of(key: &str, places: &BTreeMap<String, usize>) -> usize {
    let mut key = key;
    loop {
        if let Some(place) = places.get(key) {
            return *place;
        }
        match key.rfind(['.', '[']) {
            Some(at) => key = &key[..at],
            None => return usize::MAX,
        }
    }
}
