//! What a chain alone cannot show, a head that was taken elsewhere does.
//!
//! Its own file, because here the whole chain is consistent and false.

use std::time::Duration;

use chrono::Utc;
use ficus::rollout::audit::anchor::{Config, anchor, read};

use super::{REWRITE, tamper, verify, written};

/// Takes the chain back to a link, with its changes, and the clock with it.
const CUT: &str = "create temp table gone as select * from ficus.link where seq > 6;
    delete from ficus.confirmation;
    delete from ficus.change_item where place > (select max(last_place) from ficus.link where seq <= 6);
    delete from ficus.change where revision > (select max(revision) from ficus.link where seq <= 6);
    delete from ficus.link where seq > 6;
    update ficus.clock set revision = (select max(revision) from ficus.change)";

#[tokio::test]
async fn a_cut_tail_and_a_whole_rewrite_agree_with_themselves_and_with_no_anchor() {
    for (sql, kind) in [(CUT, "cut"), (REWRITE, "rewritten")] {
        let (stage, token) = written().await;
        let path = std::path::PathBuf::from(stage.file("anchors", ""));
        let config = Config {
            anchor_file: Some(path.clone()),
            anchor_every: Duration::from_secs(60),
            ..Config::default()
        };
        let anchored = anchor(stage.pool(), &config, 0, Utc::now()).await.unwrap();
        assert!(anchored > 6);
        let file = path.display().to_string();
        let (ran, report) = verify(&stage, &token, &["--anchor", &file]).await;
        assert_eq!((ran.code, &report["anchors"]), (0, &1.into()), "{report}");

        tamper(&stage, sql).await;

        let (_, report) = verify(&stage, &token, &[]).await;
        assert_eq!(
            report["intact"], true,
            "the chain alone shows nothing: {report}"
        );
        let (ran, report) = verify(&stage, &token, &["--anchor", &file]).await;
        assert_eq!(
            (ran.code, &report["faults"][0]["kind"]),
            (1, &kind.into()),
            "{report}"
        );
        assert_eq!(report["faults"][0]["seq"], anchored, "{report}");

        sqlx::query("update ficus.tenant set class = 'high' where id = 3")
            .execute(stage.pool())
            .await
            .unwrap();
        let fault = anchor(stage.pool(), &config, 0, Utc::now())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains("no longer holds what was anchored"),
            "{kind}: {fault}"
        );
        assert_eq!(
            read(&path).unwrap().len(),
            1,
            "nothing is anchored over what is false"
        );
    }
}

#[tokio::test]
async fn a_head_is_anchored_once_and_a_torn_line_is_passed_over() {
    let (stage, _) = written().await;
    let path = std::path::PathBuf::from(stage.file("anchors", "{\"at\":\"20"));
    let config = Config {
        anchor_file: Some(path.clone()),
        anchor_every: Duration::from_secs(60),
        ..Config::default()
    };
    let first = anchor(stage.pool(), &config, 0, Utc::now()).await.unwrap();
    assert_eq!(
        anchor(stage.pool(), &config, 0, Utc::now()).await.unwrap(),
        first,
        "another leader takes over"
    );
    assert_eq!(
        anchor(stage.pool(), &config, first, Utc::now())
            .await
            .unwrap(),
        first
    );
    let anchors = read(&path).unwrap();
    assert_eq!((anchors.len(), anchors[0].seq), (1, first));
}
