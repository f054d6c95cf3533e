//! The configuration from the outside: whole files, valid and invalid, and the documentation held against the readers.
//!
//! Its own file, because these tests are about all the readers together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::flags::Side;
use crate::identity::Resolver;
use crate::proxy::RouteTarget;
use crate::telemetry::AccessLog;

fn fixtures(kind: &str) -> Vec<(String, String)> {
    // Cargo runs tests in the package's folder; the one it was built in may be another clone.
    let folder = PathBuf::from("tests/fixtures/config").join(kind);
    let entries = std::fs::read_dir(&folder).expect("the folder of the fixtures");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    let name = |file: &Path| {
        file.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    files
        .iter()
        .map(|file| {
            (
                name(file),
                std::fs::read_to_string(file).expect("a fixture"),
            )
        })
        .collect()
}

/// What a fixture asks for in its comments: `# env: NAME=value` and `# needs: upstream`.
fn source(text: &str) -> Source {
    let asked = |what: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(what))
            .collect::<Vec<_>>()
    };
    let pair = |line: &str| {
        line.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .expect("NAME=value")
    };
    let environment: Vec<(String, String)> = asked("# env: ").into_iter().map(pair).collect();
    let needs = asked("# needs: ");
    let needs = Needs {
        upstream: needs.contains(&"upstream"),
        database: needs.contains(&"database"),
    };
    Source::new(None, environment.into_iter(), needs)
}

fn read(text: &str) -> Result<Config, Faults> {
    source(text).read_text(text).result
}

pub fn valid(name: &str) -> Config {
    let (_, text) = fixtures("valid")
        .into_iter()
        .find(|(file, _)| file == name)
        .expect("fixture");
    read(&text).unwrap_or_else(|faults| panic!("{name}:\n{faults}"))
}

fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn each_invalid_file_has_the_one_fault_that_its_first_line_expects() {
    let mut wrong = Vec::new();
    let files = fixtures("invalid");
    assert!(!files.is_empty());
    for (name, text) in files {
        let expected = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .unwrap_or_default()
            .to_owned();
        let told = read(&text).err().unwrap_or_default().to_string();
        assert!(!told.contains("geheim"), "{name} tells the secret: {told}");
        if told != expected {
            wrong.push(format!("{name}\n  expected {expected}\n  told     {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_valid_file_is_taken() {
    for (name, text) in fixtures("valid") {
        let config = read(&text).unwrap_or_else(|faults| panic!("{name}:\n{faults}"));
        assert_eq!(config.faults_for_proxy(), [], "{name}");
    }
}

#[test]
fn the_defaults_alone_lack_the_legacy_upstream_and_the_database_and_nothing_else() {
    let config = Config::parse("", environment(&[])).expect("the defaults");
    assert_eq!(config.faults_for_proxy(), [missing_legacy()]);
    assert_eq!(config.faults_for_database(), [missing_database()]);
    let faults = Source::new(
        None,
        environment(&[]),
        Needs {
            upstream: true,
            database: true,
        },
    )
    .load();
    assert_eq!(
        faults,
        Err(Faults(vec![missing_database(), missing_legacy()]))
    );
}

/// default.toml with its examples (`#key = …`, no blank behind the `#`) made real.
fn defaults_with_examples() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => format!("{example}\n"),
        _ => format!("{line}\n"),
    };
    DEFAULTS.lines().map(uncomment).collect()
}

/// Every key of a file, as readers ask for it: an entry's under its kind, whatever its name or place.
fn keys_of(section: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let part = ["tls", "health", "outlier", "breaker", "guard"].contains(&key.as_str());
        let named = ["upstream", "capability", "engine.dkim"].contains(&section);
        let entry = named && value.is_table() && !part;
        let inner = match section {
            "" | "defaults" => key.clone(),
            _ if entry => section.to_owned(),
            _ => format!("{section}.{key}"),
        };
        if !entry {
            keys.insert(format!("{section}.{key}"));
        }
        match value {
            toml::Value::Table(table) => keys_of(&inner, table, keys),
            toml::Value::Array(items) => items
                .iter()
                .filter_map(|item| item.as_table())
                .for_each(|table| keys_of(&inner, table, keys)),
            _ => {}
        }
    }
}

#[test]
fn the_documentation_has_every_key_that_is_read_and_no_other() {
    let text = defaults_with_examples();
    let mut documented = BTreeSet::new();
    keys_of(
        "",
        &text.parse().expect("the examples are TOML"),
        &mut documented,
    );
    let reading = Source::new(
        None,
        environment(&[]),
        Needs {
            upstream: true,
            database: true,
        },
    )
    .read_text(&text);
    let config = reading
        .result
        .unwrap_or_else(|faults| panic!("the examples are refused:\n{faults}"));
    assert_eq!(reading.asked, documented);
    assert_eq!((config.tenant.len(), config.proxy.routes.len()), (10, 3));
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_the_file() {
    let text = "
        [flags]
        poll = \"2\"
        [proxy]
        treads = 1
        listen = [\"here\", \"there\"]
        [[route]]
        path = \"/a\"
        [upstream.legacy]
    ";
    let faults =
        Config::parse(text, environment(&[("FICUS__ENGINE__LISTEN", "x")])).expect_err("faults");
    let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "flags.poll",
            "proxy.treads",
            "proxy.listen[0]",
            "proxy.listen[1]",
            "route[0]",
            "upstream.legacy.url",
            "engine.listen"
        ]
    );
    assert_eq!(faults.to_string().lines().count(), faults.0.len());
}

#[test]
fn faults_across_sections_are_told_together_with_those_within() {
    let text = "
        [proxy]
        threads = -1
        listen = [\"127.0.0.1:8090\"]
        [[route]]
        path = \"bad\"
        side = \"legacy\"
        [[route]]
        path = \"/a\"
        side = \"legacy\"
        [[route]]
        path = \"/a\"
        side = \"legacy\"
    ";
    let faults = Config::parse(text, environment(&[])).expect_err("faults");
    let keys: Vec<&str> = faults.0.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "proxy.threads",
            "route[0].path",
            "route[2].path",
            "control.listen",
            "upstream.legacy"
        ]
    );
}

#[test]
fn a_full_file_is_read_as_it_is_written() {
    let config = valid("full");
    let modern = &config.proxy.upstreams["modern"];
    assert_eq!(
        (
            modern.origins[0].tls,
            modern.origins[0].host.as_str(),
            modern.origins[0].port,
            modern.preserve_host
        ),
        (true, "2001:db8::1", 443, false)
    );
    assert_eq!(
        config.proxy.upstreams["legacy"].read_timeout,
        Duration::from_secs(120)
    );
    assert_eq!(config.proxy.limits.body_bytes, 0);
    assert!(config.proxy.keep_header_case);
    assert_eq!(
        config.proxy.routes[0].host.as_deref(),
        Some("app.example.com")
    );
    assert_eq!(
        config.proxy.routes[0].target,
        RouteTarget::Capability("dashboard".into())
    );
    assert_eq!(
        config.proxy.routes[2].target,
        RouteTarget::Side(Side::Modern)
    );
    assert_eq!(
        config.control.public_url.as_deref(),
        Some("https://ficus.example.com")
    );
    assert_eq!(
        config.telemetry.access_log,
        AccessLog::File("/var/log/ficus/access.log".into())
    );
    assert_eq!(
        config.database.url.reveal(),
        "postgres://ficus:geheim@db/ficus"
    );
}

#[test]
fn a_section_of_defaults_in_the_file_holds_for_every_entry_that_does_not_say_otherwise() {
    let config = valid("full");
    assert_eq!(
        config.proxy.upstreams["legacy"].connect_timeout,
        Duration::from_secs(1)
    );
    assert_eq!(
        config.proxy.upstreams["legacy"].write_timeout,
        Duration::from_secs(30)
    );
    let Resolver::LaravelSession(session) = &config.tenant[2] else {
        panic!("{:?}", config.tenant[2])
    };
    assert_eq!(
        (session.memory.ttl, session.memory.lifetime),
        (Duration::ZERO, Duration::from_secs(7200))
    );
}

#[test]
fn the_sections_of_an_upstream_stand_on_their_defaults_key_by_key() {
    let config = valid("full");
    let upstreams = &config.proxy.upstreams;
    let health = |name: &str| upstreams[name].health.clone().expect("it is checked");
    assert_eq!(health("modern").status, 200..=200);
    assert_eq!(health("several").status, 200..=399);
    assert_eq!(health("several").interval, Duration::from_secs(1));
    assert_eq!(health("several").timeout, Duration::from_millis(500));
    assert_eq!(upstreams["legacy"].health, None);
    let breaker = upstreams["modern"].breaker.as_ref().expect("there is one");
    assert_eq!((breaker.failures, breaker.probes), (50, 3));
    assert_eq!(upstreams["several"].origins.len(), 2);
}

#[test]
fn a_fault_in_the_defaults_is_told_once_however_many_entries_use_it() {
    let text = "[defaults.upstream]\nread_timeout = 1\n[upstream.legacy]\nurl = \"http://a\"\n[upstream.modern]\nurl = \"http://b\"";
    let faults = Config::parse(text, environment(&[]))
        .expect_err("a fault")
        .0;
    assert_eq!(
        faults
            .iter()
            .map(|fault| fault.key.as_str())
            .collect::<Vec<_>>(),
        ["defaults.upstream.read_timeout"]
    );
}

#[test]
fn the_environment_stands_above_the_file_and_takes_the_type_of_its_key() {
    let config = valid("full");
    assert_eq!(config.proxy.threads, 4);
    assert_eq!(config.proxy.trusted_proxies.len(), 2);
    assert_eq!(
        config.proxy.upstreams["modern"].read_timeout,
        Duration::from_secs(5)
    );
    assert_eq!(config.instance.as_deref(), Some("7"));
}

#[test]
fn the_environment_alone_makes_a_transparent_proxy() {
    let set = [
        ("FICUS__UPSTREAM__LEGACY__URL", "http://legacy:8000"),
        ("FICUS__PROXY__LISTEN", "0.0.0.0:80"),
        ("FICUS__PROXY__LIMITS__BODY_BYTES", "0"),
        ("FICUS__FLAGS__NOTIFY", "false"),
        ("FICUS__ROUTE", r#"[{ path = "/a", side = "legacy" }]"#),
        ("FICUS_URL", "of the command line"),
    ];
    let config = Config::parse("", environment(&set)).expect("valid");
    assert_eq!(config.proxy.upstreams["legacy"].origins[0].host, "legacy");
    assert_eq!(
        config.proxy.listen,
        ["0.0.0.0:80".parse().expect("address")]
    );
    assert_eq!(
        (
            config.proxy.limits.body_bytes,
            config.flags.notify,
            config.proxy.routes.len()
        ),
        (0, false, 1)
    );
}

#[test]
fn a_printed_configuration_holds_no_secret() {
    assert!(!format!("{:?}", valid("full")).contains("geheim"));
}

#[test]
fn a_file_that_is_not_there_is_a_fault_with_its_name() {
    let faults = Config::load(Some(Path::new("/nowhere/ficus.toml")), environment(&[]))
        .expect_err("a fault");
    assert_eq!(
        faults.to_string(),
        "/nowhere/ficus.toml: cannot be read: No such file or directory (os error 2)"
    );
}

proptest::proptest! {
    #[test]
    fn no_file_and_no_environment_makes_the_reader_panic(text in r#"(\[{0,2}(proxy|route|upstream|[a-z.]{0,4})\]{0,2}\n|[a-z]{1,5} = ["'\[{]?[a-z$0-9{}]{0,5}["'\]}]?\n){0,6}"#, name in "FICUS__[A-Z_]{0,12}", value in ".{0,12}") {
        let _ = Config::parse(&text, environment(&[(&name, &value)]));
    }
}
