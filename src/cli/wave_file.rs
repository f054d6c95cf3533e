//! Reads a file of waves: TOML with `[[wave]]`, or CSV with the header `wave,tenant`.
//!
//! Its own file, because it is pure: what the file says is checked by the server, what it cannot say here.

use csv::{ReaderBuilder, Trim};
use serde::Deserialize;

use crate::rollout::wave::{Defaults, Draft};

const HEADER: [&str; 2] = ["wave", "tenant"];

#[derive(Debug, Default, PartialEq)]
pub struct File {
    pub waves: Vec<Draft>,
    pub defaults: Defaults,
    pub salt: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    steps: Option<Vec<f64>>,
    bake: Option<String>,
    gates: Option<Vec<String>>,
    #[serde(default)]
    auto: bool,
    salt: Option<String>,
    #[serde(default)]
    wave: Vec<Wave>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wave {
    name: Option<String>,
    #[serde(default)]
    classes: Vec<String>,
    #[serde(default)]
    tenants: Vec<Tenant>,
    steps: Option<Vec<f64>>,
    bake: Option<String>,
    gates: Option<Vec<String>>,
    auto: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tenant {
    Id(i64),
    Slug(String),
}

/// The waves, or why there are none.
pub fn parse(text: &[u8], is_csv: bool) -> Result<File, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the file is no UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}');
    let file = if is_csv { rows(text)? } else { document(text)? };
    match file.waves.is_empty() {
        true => Err("it has no wave".to_owned()),
        false => Ok(file),
    }
}

fn document(text: &str) -> Result<File, String> {
    let document: Document = toml::from_str(text).map_err(|fault| fault.to_string())?;
    let draft = |wave: Wave| Draft {
        name: wave.name,
        classes: wave.classes,
        tenants: wave
            .tenants
            .into_iter()
            .map(|tenant| match tenant {
                Tenant::Id(id) => id.to_string(),
                Tenant::Slug(slug) => slug,
            })
            .collect(),
        steps: wave.steps,
        bake: wave.bake,
        gates: wave.gates,
        auto: wave.auto,
    };
    Ok(File {
        waves: document.wave.into_iter().map(draft).collect(),
        defaults: Defaults {
            steps: document.steps,
            bake: document.bake,
            gates: document.gates,
            auto: document.auto,
        },
        salt: document.salt,
    })
}

/// A wave is where its name first stands.
fn rows(text: &str) -> Result<File, String> {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|fault| fault.to_string())?;
    if header.iter().map(str::to_ascii_lowercase).ne(HEADER) {
        return Err(format!("expected the header {}", HEADER.join(",")));
    }
    let mut waves: Vec<Draft> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|fault| fault.to_string())?;
        let (wave, tenant) = (&record[0], &record[1]);
        let place = waves.iter().position(|it| it.name.as_deref() == Some(wave));
        let place = place.unwrap_or_else(|| {
            waves.push(Draft {
                name: Some(wave.to_owned()),
                ..Draft::default()
            });
            waves.len() - 1
        });
        waves[place].tenants.push(tenant.to_owned());
    }
    Ok(File {
        waves,
        ..File::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toml_file_names_waves_in_their_order() {
        let file = parse(
            b"bake = '7d'\n[[wave]]\nname = 'first'\nclasses = ['internal']\n[[wave]]\ntenants = [2, 'acme']\nsteps = [5, 12.5]\n",
            false,
        )
        .unwrap();
        assert_eq!(file.defaults.bake.as_deref(), Some("7d"));
        assert_eq!(file.waves[0].name.as_deref(), Some("first"));
        assert_eq!(file.waves[1].tenants, ["2", "acme"]);
        assert_eq!(file.waves[1].steps, Some(vec![5.0, 12.5]));
    }

    #[test]
    fn a_csv_file_gathers_tenants_by_wave() {
        let file = parse(b"wave,tenant\na,1\nb,2\na,acme\n", true).unwrap();
        assert_eq!(file.waves.len(), 2);
        assert_eq!(file.waves[0].tenants, ["1", "acme"]);
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, is_csv, expected) in [
            ("[[wave]]\nclass = 'low'\n", false, "unknown field `class`"),
            ("[[wave]\n", false, "line 1"),
            ("", false, "no wave"),
            ("wave,tenant\n", true, "no wave"),
            ("tenant,wave\n1,a\n", true, "header wave,tenant"),
            ("wave,tenant\na\n", true, "line: 2"),
        ] {
            let fault = parse(text.as_bytes(), is_csv).unwrap_err();
            assert!(fault.contains(expected), "{text:?}: {fault}");
        }
    }
}
