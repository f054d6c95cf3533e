//! A configuration file that changes under load.

use super::*;
use crate::support::Database;

/// The same sides, with one more route.
fn with_reports(config: &str) -> String {
    format!("{config}\n[[route]]\npath = \"/reports\"\ncapability = \"dashboard\"\n")
}

#[tokio::test]
async fn routes_and_upstreams_change_without_a_failed_request() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let (legacy, modern) = (
        named_upstream("legacy").await,
        named_upstream("modern").await,
    );
    let config = two_sides(legacy, modern);
    let fleet = [Setup::new(database.url(), &config).start().await];
    let [ficus] = &fleet;
    let load = Load::start(&fleet, &[("2", "modern"), ("3", "legacy")]);
    load.pass(50).await;
    for round in 0..3 {
        // Other servers of the same names: who asks sees no difference.
        let fresh = two_sides(
            named_upstream("legacy").await,
            named_upstream("modern").await,
        );
        std::fs::write(&ficus.config, with_reports(&fresh)).expect("rewritten");
        until_metric(ficus, "ficus_config_reloads_total", |n| {
            n > f64::from(round * 2)
        })
        .await;
        assert_eq!(served_at(ficus, "/reports", "2").await, "modern");
        load.pass(50).await;
        std::fs::write(&ficus.config, &config).expect("rewritten");
        until_metric(ficus, "ficus_config_reloads_total", |n| {
            n > f64::from(round * 2 + 1)
        })
        .await;
        assert_eq!(
            served_at(ficus, "/reports", "2").await,
            "legacy",
            "no route any more"
        );
        load.pass(50).await;
    }
    load.end().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_all_its_faults() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = sides().await;
    let fleet = [Setup::new(database.url(), &config).start().await];
    let [ficus] = &fleet;
    let load = Load::start(&fleet, &[("2", "modern"), ("3", "legacy")]);
    let bad =
        config.replace("modern = \"modern\"", "modern = \"nowhere\"") + "[nonsense]\nkey = 1\n";
    std::fs::write(&ficus.config, bad).expect("rewritten");
    until_metric(ficus, "ficus_config_refused_total", |n| n == 1.0).await;
    load.pass(50).await;
    let log = ficus.log();
    for part in [
        "the changed configuration is refused",
        "capability.dashboard.modern",
        "nonsense",
    ] {
        assert!(log.contains(part), "{part} is not in\n{log}");
    }
    // What mends it is taken.
    std::fs::write(&ficus.config, with_reports(&config)).expect("rewritten");
    until_metric(ficus, "ficus_config_reloads_total", |n| n == 1.0).await;
    assert_eq!(served_at(ficus, "/reports", "2").await, "modern");
    load.end().await;
}

#[tokio::test]
async fn a_key_that_takes_a_restart_is_named() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = sides().await;
    let ficus = Setup::new(database.url(), &config).start().await;
    let changed = config.replace("[proxy]", "[proxy]\ndrain = \"1s\"") + "[flags]\npoll = \"3s\"\n";
    std::fs::write(&ficus.config, changed).expect("rewritten");
    until_metric(&ficus, "ficus_config_reloads_total", |n| n == 1.0).await;
    let log = ficus.log();
    for key in ["proxy.drain", "flags.poll"] {
        let said = log
            .lines()
            .any(|line| line.contains("takes effect at the next start") && line.contains(key));
        assert!(said, "{key} is not named in\n{log}");
    }
}

#[tokio::test]
async fn a_capability_that_is_added_can_be_flipped_at_once() {
    let database = Database::new().await;
    seed(database.pool()).await;
    let config = sides().await;
    let setup = Setup::new(database.url(), &config).roles("proxy,control");
    let ficus = setup.start().await;
    let more = format!(
        "{config}\n[capability.reports]\neffect = \"read\"\nmodern = \"modern\"\n[[route]]\npath = \"/reports\"\ncapability = \"reports\"\n"
    );
    std::fs::write(&ficus.config, more).expect("rewritten");
    let registered = "select exists (select from ficus.capability where name = 'reports')";
    eventually("the capability is registered", || async {
        let there: bool = sqlx::query_scalar(registered)
            .fetch_one(database.pool())
            .await
            .expect("an answer");
        there.then_some(())
    })
    .await;
    let flip =
        "insert into ficus.flag (tenant_id, capability, state) values (2, 'reports', 'modern')";
    run(database.pool(), flip).await;
    eventually("reports are modern", || async {
        (served_at(&ficus, "/reports", "2").await == "modern").then_some(())
    })
    .await;
}
