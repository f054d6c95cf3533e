//! The whole configuration: defaults, then the file, then the environment, checked, with every fault at once.
//!
//! Its own folder, because the features only say what they need and this says where it comes from.
//! `config/default.toml` documents every key.

mod address;
mod alerts;
mod check;
mod dkim;
mod engine;
mod fault;
mod guard;
mod jwt;
mod layers;
mod links;
mod lookups;
mod outside;
mod planes;
mod policy;
mod proxy;
mod restart;
mod rollout;
mod section;
mod sms;
mod tenant;
#[cfg(test)]
mod tests;
mod tls;
mod traces;
mod typed;
mod upstream;
mod value;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use fault::{Fault, Faults};
pub use restart::needs_restart;
pub use watch::Watch;

use proxy::{LEGACY, ProxySections};
use section::{Reader, Section};

/// The defaults, compiled in; also what `ficus` shows to who wants to write a file.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Everything that a process is told, checked as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub proxy: crate::proxy::Config,
    pub tenant: Vec<crate::identity::Resolver>,
    pub flags: crate::flags::Config,
    pub control: crate::control::Config,
    pub audit: crate::rollout::audit::anchor::Config,
    pub alerts: crate::alerts::Config,
    pub database: crate::db::Config,
    pub dashboard: crate::dashboard::Config,
    pub engine: crate::engine::Config,
    pub rollout: crate::rollout::queries::Config,
    pub telemetry: crate::telemetry::Config,
    pub guard: crate::rollout::guard::Config,
    /// The instance's name in `ficus status`. Default: host name and first port.
    pub instance: Option<String>,
}

/// What the roles of a process cannot do without, beyond what every configuration must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `[upstream.legacy]`: the proxy role.
    pub upstream: bool,
    /// `database.url`: every role, unless ficus brings its own PostgreSQL.
    pub database: bool,
}

/// Where a configuration is read from, again and again.
#[derive(Clone, Debug)]
pub struct Source {
    file: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    needs: Needs,
}

/// One reading: its result, and the files that it looked into beside the configuration file.
struct Reading {
    result: Result<Config, Faults>,
    files: Vec<PathBuf>,
    /// Every key that some reader knows.
    #[cfg(test)]
    asked: std::collections::BTreeSet<String>,
}

/// The environment of this process, for `load`. Variables that are no UTF-8 are left out: `std::env::vars` would panic.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Reading {
    fn refused(faults: Vec<Fault>) -> Self {
        Self {
            result: Err(Faults(faults)),
            files: Vec::new(),
            #[cfg(test)]
            asked: Default::default(),
        }
    }
}

impl Config {
    /// Reads the defaults, the file and the environment, which is `process_environment()` or whatever a test invents.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        Source::new(file, environment, Needs::default()).load()
    }

    /// As `load`, from a file's text.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        Source::new(None, environment, Needs::default())
            .read_text(text)
            .result
    }

    /// What the proxy role lacks. `Needs` asks the same while reading, together with all other faults.
    pub fn faults_for_proxy(&self) -> Vec<Fault> {
        if self.proxy.upstreams.contains_key(LEGACY) {
            Vec::new()
        } else {
            vec![missing_legacy()]
        }
    }

    /// What every role lacks that is not given a database of its own.
    pub fn faults_for_database(&self) -> Vec<Fault> {
        if self.database.url.is_empty() {
            vec![missing_database()]
        } else {
            Vec::new()
        }
    }
}

impl Source {
    pub fn new(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        needs: Needs,
    ) -> Self {
        Self {
            file: file.map(Path::to_owned),
            environment: environment.collect(),
            needs,
        }
    }

    /// Reads everything anew.
    pub fn load(&self) -> Result<Config, Faults> {
        self.read().result
    }

    fn read(&self) -> Reading {
        let text = match &self.file {
            None => Ok(String::new()),
            Some(file) => std::fs::read_to_string(file).map_err(|error| {
                Fault::new(file.to_string_lossy(), format!("cannot be read: {error}"))
            }),
        };
        match text {
            Ok(text) => self.read_text(&text),
            Err(fault) => Reading::refused(vec![fault]),
        }
    }

    fn read_text(&self, text: &str) -> Reading {
        let tables = layers::read_toml(DEFAULTS)
            .and_then(|defaults| Ok((defaults, layers::read_toml(text)?)));
        let (mut table, over) = match tables {
            Ok(tables) => tables,
            Err(faults) => return Reading::refused(faults),
        };
        layers::overlay(&mut table, over);
        let (from_environment, faults) = layers::overlay_environment(&mut table, &self.environment);
        let reader = Reader {
            environment: &self.environment,
            from_environment,
            faults: RefCell::new(faults),
            files: RefCell::default(),
            asked: RefCell::default(),
        };
        let config = read_sections(&reader, table, self.needs);
        let mut faults = reader.faults.into_inner();
        let places = layers::places(text);
        faults
            .sort_by_cached_key(|fault| (layers::place_of(&fault.key, &places), fault.key.clone()));
        let result = match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(Faults(faults)),
        };
        Reading {
            result,
            files: reader.files.into_inner(),
            #[cfg(test)]
            asked: reader.asked.into_inner(),
        }
    }
}

/// The configuration; `None` leaves at least one fault with the reader.
fn read_sections(reader: &Reader<'_>, table: toml::Table, needs: Needs) -> Option<Config> {
    let mut root = Section::root(reader, table);
    let mut defaults = root.section("defaults");
    let below =
        ["upstream", "capability", "route", "tenant", "reconcile"].map(|kind| defaults.table(kind));
    defaults.finish();
    let [upstream, capability, route, tenant, reconcile] = &below;

    let sections = ProxySections {
        proxy: root.section("proxy"),
        upstreams: root.named("upstream", ("defaults.upstream", upstream)),
        capabilities: root.named("capability", ("defaults.capability", capability)),
        routes: root.listed("route", ("defaults.route", route)),
        redis: root.section("redis"),
    };
    let upstream_names: Vec<String> = sections
        .upstreams
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let limits = proxy::check_defaults(
        Section::of_defaults(reader, "defaults.upstream", upstream.clone()),
        Section::of_defaults(reader, "defaults.capability", capability.clone()),
        Section::of_defaults(reader, "defaults.route", route.clone()),
        &upstream_names,
    );
    let proxy = proxy::read(sections);
    tenant::check_defaults(Section::of_defaults(
        reader,
        "defaults.tenant",
        tenant.clone(),
    ));
    let tenant = tenant::read(root.listed("tenant", ("defaults.tenant", tenant)));
    rollout::check_defaults(Section::of_defaults(
        reader,
        "defaults.reconcile",
        reconcile.clone(),
    ));
    let rollout = rollout::read(
        root.section("rollout"),
        root.listed("reconcile", ("defaults.reconcile", reconcile)),
    );
    let control = planes::read_control(root.section("control"));
    let audit = planes::read_audit(root.section("audit"));
    let link = control
        .as_ref()
        .and_then(|control| control.public_url.clone());
    let alerts = alerts::read(root.section("alerts"), link);
    let database = planes::read_database(root.section("database"));
    let flags = planes::read_flags(root.section("flags"));
    let guarding = guard::read(root.section("guard"));
    let telemetry = planes::read_telemetry(root.section("telemetry"));
    let dashboard = planes::read_dashboard(root.section("dashboard"));
    let engine = engine::read(root.section("engine"));
    let instance = planes::read_instance(root.section("instance"));
    root.finish();

    if !proxy.has_legacy && (proxy.needs_legacy || needs.upstream) {
        reader.add(missing_legacy());
    }
    if needs.database
        && database
            .as_ref()
            .is_some_and(|database| database.url.is_empty())
    {
        reader.add(missing_database());
    }
    let mut listeners: Vec<(String, SocketAddr)> = Vec::new();
    for (index, address) in proxy.listen.iter().flatten().enumerate() {
        listeners.push((format!("proxy.listen[{index}]"), *address));
    }
    for (index, address) in proxy.tls_listen.iter().enumerate() {
        listeners.push((format!("proxy.tls.listen[{index}]"), *address));
    }
    let planes = [
        (
            "control.listen",
            control.as_ref().map(|control| control.listen),
        ),
        (
            "dashboard.listen",
            dashboard.as_ref().map(|dashboard| dashboard.listen),
        ),
        ("engine.listen", engine.as_ref().map(|engine| engine.listen)),
    ];
    listeners.extend(
        planes
            .into_iter()
            .filter_map(|(key, address)| Some((key.to_owned(), address?))),
    );
    let across = check::clashing_listeners(&listeners).into_iter();
    across
        .chain(check::conflicting_routes(&proxy.routes))
        .chain(
            tenant
                .iter()
                .flat_map(|resolvers| check::unprovable_routes(&proxy.routes, resolvers)),
        )
        .for_each(|fault| reader.add(fault));

    Some(Config {
        guard: guarding?.with(limits?, proxy.limits?),
        proxy: proxy.config?,
        tenant: tenant?,
        flags: flags?,
        audit: audit?,
        control: control?,
        alerts: alerts?,
        database: database?,
        dashboard: dashboard?,
        engine: engine?,
        rollout: rollout?,
        telemetry: telemetry?,
        instance: instance?,
    })
}

fn missing_legacy() -> Fault {
    Fault::new(
        "upstream.legacy",
        "is required: say where the legacy application is, [upstream.legacy] url = \"http://host:port\"",
    )
}

fn missing_database() -> Fault {
    Fault::new(
        "database.url",
        "is required: where the control state is, such as \"postgres://user:password@host/database\"",
    )
}
