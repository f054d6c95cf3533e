//! Texts that come from outside the file: `${NAME}` from the environment and `{ file = "/path" }` from a file.
//!
//! Its own file, because this is the way on which secrets come in.

use std::collections::BTreeMap;
use std::io::Read;

use toml::{Table, Value};

/// No secret is larger; a path to a device would otherwise fill the memory.
const LARGEST_FILE: u64 = 64 << 10;

/// Puts the environment's values in place of `${NAME}`; `$${` stands for `${` itself.
pub fn expand(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &reference[2..];
            continue;
        }
        out.push_str(before);
        let name = reference[2..]
            .split_once('}')
            .map(|(name, _)| name)
            .filter(|name| is_variable(name));
        let name = name.ok_or(
            "has \"${\" without a variable's name and \"}\"; write \"$${\" for the text itself",
        )?;
        let value = environment
            .get(name)
            .ok_or_else(|| format!("the environment has no variable {name}"))?;
        out.push_str(value);
        rest = &reference[name.len() + 3..];
    }
    out.push_str(rest);
    Ok(out)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

/// The path, if the table is `{ file = "/path" }` and nothing else.
pub fn named_file(table: &Table) -> Option<&str> {
    table
        .get("file")
        .and_then(Value::as_str)
        .filter(|_| table.len() == 1)
}

/// The file's text without the newline at its end.
pub fn read_file(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("expected an absolute path of a file".to_owned());
    }
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot read the file: {error}")),
        Ok(_) if text.len() as u64 > LARGEST_FILE => Err("the file has more than 64KiB".to_owned()),
        Ok(_) => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
        }
    }
}

/// The number, switch or list that a text spells in TOML.
pub fn as_toml(text: &str) -> Option<Value> {
    let table = format!("value = {}", text.trim())
        .parse::<Table>()
        .ok()
        .filter(|table| table.len() == 1)?;
    table
        .into_iter()
        .next()
        .map(|(_, value)| value)
        .filter(|value| !value.is_str() && !value.is_datetime())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn environment() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("USER".to_owned(), "fig".to_owned()),
            ("EVIL".to_owned(), "${USER}".to_owned()),
        ])
    }

    #[test]
    fn a_variable_is_put_in_and_not_looked_into() {
        assert_eq!(
            expand("a-${USER}-${EVIL}", &environment()),
            Ok("a-fig-${USER}".to_owned())
        );
    }

    #[test]
    fn a_doubled_dollar_stands_for_the_text_itself() {
        assert_eq!(
            expand("$${USER} $1 $", &environment()),
            Ok("${USER} $1 $".to_owned())
        );
    }

    #[test]
    fn what_names_no_variable_is_refused() {
        for text in ["${", "${}", "${A B}", "${1A}", "${NONE}"] {
            assert!(expand(text, &environment()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_lends_its_text_without_the_last_newline() {
        let file = tempfile::NamedTempFile::new().expect("scratch file");
        std::fs::write(file.path(), "secret\n\n").expect("write");
        assert_eq!(
            read_file(&file.path().to_string_lossy()),
            Ok("secret\n".to_owned())
        );
    }

    #[test]
    fn an_endless_file_is_refused() {
        assert_eq!(
            read_file("/dev/zero"),
            Err("the file has more than 64KiB".to_owned())
        );
    }

    #[test]
    fn text_that_spells_two_values_is_text() {
        assert_eq!(as_toml("1\nother = 2"), None);
        assert_eq!(as_toml("12"), Some(Value::Integer(12)));
        assert_eq!(as_toml("2020-01-01"), None);
    }

    #[test]
    fn a_secret_comes_from_a_file_that_the_file_or_the_environment_names() {
        let secret = tempfile::NamedTempFile::new().expect("scratch file");
        std::fs::write(secret.path(), "postgres://ficus:geheim@db/ficus\n").expect("write");
        let path = secret.path().to_string_lossy();
        let by_file = Config::parse(
            &format!("[database]\nurl = {{ file = \"{path}\" }}"),
            std::iter::empty(),
        )
        .expect("valid");
        let by_variable = Config::parse(
            "",
            std::iter::once(("FICUS__DATABASE__URL__FILE".to_owned(), path.to_string())),
        )
        .expect("valid");
        assert_eq!(
            by_file.database.url.reveal(),
            "postgres://ficus:geheim@db/ficus"
        );
        assert_eq!(by_variable, by_file);
    }
}
