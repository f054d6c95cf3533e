//! The rules: what each module may import, which dependency stays where, which file may be long.
//!
//! Its own file, because an exception is made here, with its reason, and nowhere else.

/// Each module of `lib.rs` and what it may import of the crate.
/// `engine` and `dashboard` know nothing of the migration: when it is over, the rest is deleted and they stay.
/// `proxy` knows nothing of the database: what it needs to know comes through `flags` and `identity`.
pub const IMPORTS: [(&str, &[&str]); 20] = [
    ("ids", &[]),
    ("secret", &[]),
    // A format of another program, which outlives the migration with the passwords that are stored in it.
    ("laravel", &["secret"]),
    // telemetry: the label of a side.
    ("flags", &["ids", "telemetry"]),
    // flags: the names that metrics carry. Both are small and end in plain data.
    ("telemetry", &["flags", "ids", "secret"]),
    // db: the connection to legacy's own sessions.
    ("identity", &["db", "ids", "laravel", "secret"]),
    // secret: the key of a client certificate, and the URL of the Redis in which proxies count together.
    // rollout: `outcomes` and nothing else, into which it counts.
    (
        "proxy",
        &["flags", "identity", "ids", "rollout", "secret", "telemetry"],
    ),
    ("db", &["secret"]),
    // alerts: what the guard does is told. db: the lead, which one process has. telemetry: what of the counts was given up,
    // and the guard's verdicts.
    (
        "rollout",
        &["alerts", "db", "flags", "ids", "secret", "telemetry"],
    ),
    // proxy: `ficus explain` walks the same steps as a request, so it asks the proxy's own explainer. alerts: it lists them.
    // engine: what operators do with messages, and the seal of tenants' credentials, which pass through here. secret: these.
    (
        "control",
        &[
            "alerts",
            "engine",
            "flags",
            "ids",
            "proxy",
            "rollout",
            "secret",
            "telemetry",
        ],
    ),
    // Whoever finds something wrong raises it, in the transaction that acts on it.
    ("alerts", &["secret"]),
    ("modern", &["ids"]),
    ("dashboard", &["ids", "modern"]),
    // alerts: rows that anybody raises, who know nothing of the migration. secret: the logins of mail servers. telemetry: its metrics, which know nothing of the migration.
    (
        "engine",
        &["alerts", "ids", "laravel", "modern", "secret", "telemetry"],
    ),
    // It composes each feature's own Config, and reads nothing else of them.
    (
        "config",
        &[
            "alerts",
            "control",
            "dashboard",
            "db",
            "engine",
            "flags",
            "identity",
            "ids",
            // The names of its ciphers.
            "laravel",
            "proxy",
            // What the audit's anchors are told.
            "rollout",
            "secret",
            "telemetry",
        ],
    ),
    ("embedded", &["db"]),
    (
        "app",
        &[
            "alerts",
            "config",
            "control",
            "dashboard",
            "db",
            "embedded",
            "engine",
            "flags",
            "identity",
            "ids",
            "proxy",
            "rollout",
            "secret",
            "telemetry",
        ],
    ),
    // control and rollout: the CLI speaks the API's own types, and runs its routes in this process for --direct. alerts and
    // identity: `ficus check` asks their places whether they answer. engine: the API's types of messages. secret: the key that --direct seals with.
    (
        "cli",
        &[
            "alerts", "app", "config", "control", "db", "demo", "engine", "flags", "identity",
            "ids", "proxy", "rollout", "secret",
        ],
    ),
    // The product's user: it starts ficus as anybody would.
    ("demo", &["db", "embedded"]),
    ("main", &["cli"]),
];

/// Dependencies that live behind few modules, or behind single files of others; each file with its reason.
pub const FENCES: [Fence; 8] = [
    Fence {
        krate: "lettre",
        modules: &[],
        files: &[("src/alerts/email.rs", "alerts by e-mail")],
    },
    Fence {
        krate: "opentelemetry",
        modules: &[],
        files: &[(
            "src/telemetry/traces/",
            "spans are made and sent here; everybody else sets marks",
        )],
    },
    Fence {
        krate: "redis",
        modules: &[],
        files: &[
            ("src/identity/store/redis.rs", "legacy's sessions"),
            (
                "src/proxy/limits/shared.rs",
                "rate limits that proxies count together",
            ),
        ],
    },
    Fence {
        krate: "pingora",
        modules: &["proxy"],
        files: &[],
    },
    Fence {
        krate: "axum",
        modules: &["control", "dashboard", "engine", "modern"],
        files: &[
            ("src/app/process.rs", "it has the routers served"),
            ("src/app/listeners.rs", "it puts the routers on their ports"),
            (
                "src/cli/",
                "the API's methods and types, and its router for --direct",
            ),
            (
                "src/demo/mail/page.rs",
                "the page on which caught mail is read",
            ),
        ],
    },
    Fence {
        krate: "clap",
        modules: &["cli"],
        files: &[
            (
                "src/rollout/tenants.rs",
                "the classes as operators type them: a derive on the one enum",
            ),
            (
                "src/rollout/tokens.rs",
                "the roles as operators type them: a derive on the one enum",
            ),
        ],
    },
    Fence {
        krate: "sqlx",
        modules: &["alerts", "db", "rollout", "dashboard", "engine"],
        files: &[
            ("src/app/", "it hands the pools out"),
            ("src/flags/store.rs", "the snapshot's queries"),
            (
                "src/flags/presence.rs",
                "the process's own row in ficus.instance",
            ),
            ("src/flags/sync.rs", "LISTEN, and the loop around the store"),
            ("src/identity/store/sql.rs", "the queries of legacy's users"),
            (
                "src/modern/",
                "the account's name, and what a failed query is answered with",
            ),
            ("src/control/mod.rs", "the pool in its state"),
            ("src/control/auth.rs", "the pool that tokens are read from"),
            (
                "src/control/error.rs",
                "which refusals of the database are the caller's fault",
            ),
            (
                "src/control/write.rs",
                "the pool that a write is confirmed on",
            ),
            ("src/cli/backend.rs", "the pool of --direct"),
            (
                "src/demo/stage.rs",
                "the demo flips as an operator at psql does",
            ),
            (
                "src/demo/story.rs",
                "the demo flips as an operator at psql does",
            ),
        ],
    },
    Fence {
        krate: "reqwest",
        modules: &["alerts", "demo"],
        files: &[
            (
                "src/cli/backend.rs",
                "the client of the admin API and of the sockets",
            ),
            ("src/cli/engine_client.rs", "the client of the engine"),
            (
                "src/engine/attachment/",
                "the files that a message names by URL",
            ),
            (
                "src/engine/provider/sms/client.rs",
                "the vendors of text messages",
            ),
            (
                "src/rollout/audit/anchor.rs",
                "the webhook to which the audit's head is posted",
            ),
            (
                "src/telemetry/traces/collector.rs",
                "the client that OTLP's exporter is given: no variable of the environment changes it",
            ),
            (
                "src/identity/jwt/remote.rs",
                "the keys of tokens, as their issuer serves them",
            ),
        ],
    },
];

pub struct Fence {
    pub krate: &'static str,
    pub modules: &'static [&'static str],
    pub files: &'static [(&'static str, &'static str)],
}

/// Longer than this, and a name is missing: find it, then split.
pub const MAX_LINES: usize = 400;

/// Files that are longer, with the bound that they may not pass and the reason.
pub const LONG_FILES: [(&str, usize, &str); 5] = [
    (
        "src/control/mod.rs",
        600,
        "every route with what it promises on one page",
    ),
    (
        "src/proxy/gateway.rs",
        620,
        "pingora's phases in the order in which it calls them, one impl",
    ),
    (
        "tests/it/control_api.rs",
        620,
        "one case a route of the admin API",
    ),
    (
        "tests/it/control_rollout.rs",
        620,
        "one case a promise of the rollout",
    ),
    ("tests/it/cli.rs", 660, "one case a command"),
];

/// Ignored tests that are run all the same, each with who runs it.
pub const UNASKED: [(&str, &str); 2] = [
    (
        "tests/it/embedded.rs",
        "the process that the test before it starts and kills",
    ),
    (
        "tests/it/proxy/corpus/beside.rs",
        "make soak: it compares with nginx and HAProxy, which the tests do not need",
    ),
];
