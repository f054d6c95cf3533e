//! `ficus check`: the configuration's faults, all at once, and whether everything it names can be reached.
//!
//! Its own file, because it is run before a deployment: it starts nothing and changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Output;
use super::exit::{FAILED, Failure};
use super::serve::CheckArgs;
use crate::alerts::Senders;
use crate::config::{Config, Fault, Needs, Source, process_environment};
use crate::db;
use crate::identity::Resolver;
use crate::identity::jwt::KeySource;

/// For one look-up and connection; the configured times are for traffic, and may be long.
const REACH: Duration = Duration::from_secs(5);

pub fn run(output: &Output, args: CheckArgs) -> Result<ExitCode, Failure> {
    let needs = Needs {
        upstream: true,
        database: !args.embedded,
    };
    let legacy = args
        .legacy
        .map(|url| ("FICUS__UPSTREAM__LEGACY__URL".to_owned(), url));
    let variables = process_environment().chain(legacy);
    let faults = match Source::new(args.config.as_deref(), variables, needs).load() {
        Err(faults) => faults.0,
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .map_err(anyhow::Error::from)?
                .block_on(unreachable(&config))
        }
    };
    let told: Vec<_> = faults
        .iter()
        .map(|it| serde_json::json!({ "key": it.key, "problem": it.problem }))
        .collect();
    output.data(
        &serde_json::json!({ "ok": faults.is_empty(), "faults": told }),
        |_| match faults.len() {
            0 => "the configuration is good, and everything it names answers\n".to_owned(),
            _ => faults.iter().map(|fault| format!("{fault}\n")).collect(),
        },
    )?;
    Ok(if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

/// What does not answer, under the key that names it.
async fn unreachable(config: &Config) -> Vec<Fault> {
    let mut faults = silent_upstreams(config).await;
    faults.extend(missing_keys(config).await);
    for (key, url) in [
        ("database.url", &config.database.url),
        ("database.legacy_url", &config.database.legacy_url),
    ] {
        let answers = url.is_empty()
            || timeout(REACH, db::answers(url.reveal()))
                .await
                .unwrap_or(false);
        if !answers {
            faults.push(Fault::new(key, "the database does not take our connection: is it up, and are user and password right?"));
        }
    }
    faults
}

async fn silent_upstreams(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    let upstreams = config.proxy.upstreams.iter();
    for (name, upstream) in
        upstreams.flat_map(|(name, u)| u.origins.iter().map(move |origin| (name, origin)))
    {
        let at = format!("{}:{}", upstream.host, upstream.port);
        let problem = match timeout(
            REACH,
            TcpStream::connect((upstream.host.as_str(), upstream.port)),
        )
        .await
        {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", REACH.as_secs()),
        };
        faults.push(Fault::new(
            format!("upstream.{name}"),
            format!("{at} cannot be reached: {problem}"),
        ));
    }
    faults
}

/// Keys of tokens that a process with this configuration would not get.
async fn missing_keys(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, resolver) in config.tenant.iter().enumerate() {
        let Resolver::Jwt(jwt) = resolver else {
            continue;
        };
        let KeySource::Url(place) = &jwt.key else {
            continue;
        };
        let problem = match timeout(REACH, place.try_once()).await {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => format!("no answer within {} s", REACH.as_secs()),
        };
        faults.push(Fault::new(
            format!("tenant[{index}].key_url"),
            format!("{} gives no key: {problem}", place.url),
        ));
    }
    match Senders::new(config.alerts.clone()) {
        Ok(senders) => {
            let silent = timeout(REACH * 3, senders.unreachable()).await;
            let silent =
                silent.unwrap_or_else(|_| vec![("alerts", "no answer in time".to_owned())]);
            faults.extend(
                silent
                    .into_iter()
                    .map(|(key, problem)| Fault::new(key, problem)),
            );
        }
        Err(e) => faults.push(Fault::new("alerts", format!("{e:#}"))),
    }
    faults
}
