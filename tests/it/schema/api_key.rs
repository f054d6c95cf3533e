//! API keys of tenants: stored hashed, audited without their digest, and gone with their tenant.
//!
//! Its own file, because a key names a tenant to the outside.

use super::{count, refusal, run, with_tenants};

const INSERT: &str =
    "insert into ficus.api_key (name, tenant_id, digest) values ('ci', 1, sha256('key'))";

#[tokio::test]
async fn making_and_revoking_a_key_is_audited_under_its_tenant_without_its_digest() {
    let db = with_tenants(1).await;
    run(db.pool(), INSERT).await;
    run(
        db.pool(),
        "update ficus.api_key set revoked_at = clock_timestamp()",
    )
    .await;
    assert_eq!(
        count(
            db.pool(),
            "select count(*) from ficus.change_item where entity = 'api-key' and tenant_id = 1 and not after ? 'digest'"
        )
        .await,
        2
    );
}

#[tokio::test]
async fn a_key_keeps_its_name_its_tenant_and_its_digest() {
    let db = with_tenants(2).await;
    run(db.pool(), INSERT).await;
    for change in ["name = 'x'", "tenant_id = 2", "digest = sha256('other')"] {
        let error = refusal(db.pool(), &format!("update ficus.api_key set {change}")).await;
        assert!(error.contains("cannot change"), "{change}: {error}");
    }
    for row in [
        "('other', 1, sha256('key'))",
        "('ci', 1, sha256('other'))",
        "('short', 1, 'abc')",
        "('a b', 1, sha256('other'))",
        "('nobodys', 9, sha256('other'))",
    ] {
        let sql = format!("insert into ficus.api_key (name, tenant_id, digest) values {row}");
        let error = refusal(db.pool(), &sql).await;
        assert!(error.contains("violates"), "{row}: {error}");
    }
}

#[tokio::test]
async fn keys_go_with_their_tenant() {
    let db = with_tenants(1).await;
    run(db.pool(), INSERT).await;
    run(db.pool(), "delete from ficus.tenant").await;
    assert_eq!(
        count(db.pool(), "select count(*) from ficus.api_key").await,
        0
    );
}

#[tokio::test]
async fn the_reader_sees_keys_without_their_digests() {
    let db = with_tenants(1).await;
    run(db.pool(), INSERT).await;
    run(
        db.pool(),
        "begin; set local role ficus_read; select name, tenant_id, expires_at from ficus.api_key; commit",
    )
    .await;
    for sql in [
        "select digest from ficus.api_key",
        "delete from ficus.api_key",
    ] {
        let error = refusal(db.pool(), &format!("set local role ficus_read; {sql}")).await;
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}
