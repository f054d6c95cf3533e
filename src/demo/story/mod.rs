//! The story: tenants move one by one, by plain SQL and in a wave, and come back, whatever is broken meanwhile.
//!
//! Its own file, because it reads as the story does; how things are started and asked stands elsewhere.

mod send;
mod wave;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::browser::{Answer, Browser};
use super::narrator::{self, milliseconds};
use super::proxy::Proxy;
use super::stage::Stage;

/// Tenants, and where their owners are at home.
const OWNERS: [(i64, &str); 5] = [
    (2, "bluebird"),
    (3, "corner"),
    (4, "marina"),
    (7, "fern"),
    (8, "zoe"),
];
const STATS: &str = "/dashboard/stats";
/// For everything that happens by itself: a flip takes milliseconds, catching up after an outage some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

const CALL: &str = "the customer calls: a blank page";

/// Exit codes of the command line, from its help.
const DONE: i32 = 0;
const NOT_CONFIRMED: i32 = 5;

pub struct Story<'a> {
    stage: &'a mut Stage,
    /// The owner of each tenant that the story is about.
    people: BTreeMap<i64, Browser>,
    failed: usize,
}

impl<'a> Story<'a> {
    /// Logs the owners in, through the proxy.
    pub async fn begin(stage: &'a mut Stage) -> anyhow::Result<Self> {
        let client = super::http_client()?;
        let mut people = BTreeMap::new();
        for (tenant, domain) in OWNERS {
            let mut person = Browser::new(&client);
            person
                .log_in(&stage.a.url, &format!("owner@{domain}.test"), "secret")
                .await?;
            people.insert(tenant, person);
        }
        Ok(Self {
            stage,
            people,
            failed: 0,
        })
    }

    /// Plays it. True: everything was as it should be.
    pub async fn play(mut self) -> anyhow::Result<bool> {
        let before = self.legacy_alone().await?;
        self.tenant_2_moves(&before).await?;
        self.tenant_3_moves_by_sql().await?;
        self.tenant_2_comes_back().await?;
        self.rollback_without_the_database().await?;
        self.the_database_returns().await?;
        self.a_proxy_stops_answering().await?;
        self.a_wave_is_taken_back().await?;
        Ok(self.failed == 0)
    }

    /// Gives tenant 2's figures as legacy tells them.
    async fn legacy_alone(&mut self) -> anyhow::Result<String> {
        narrator::chapter(1, "The legacy application runs alone behind ficus");
        narrator::remark(
            "The owners of five tenants have logged in through the proxy. No flag is set.",
        );
        for tenant in [2, 3, 4] {
            self.expect_everywhere(tenant, "legacy").await?;
        }
        let caught = self.stage.mail.received();
        let sent = self.get(2, Proxies::A, &send_campaign(2)).await?;
        let mails = self.stage.mail.received() - caught;
        self.see(
            sent.is_from("legacy") && mails == 3,
            &format!(
                "tenant 2 sends a campaign: {} by {}, and {mails} mails arrive in the mail catcher",
                sent.status, sent.served_by
            ),
        );
        Ok(self.get(2, Proxies::A, STATS).await?.body)
    }

    async fn tenant_2_moves(&mut self, before: &str) -> anyhow::Result<()> {
        narrator::chapter(2, "Tenant 2 moves: dashboard and messaging");
        for capability in ["dashboard", "messaging"] {
            let flip = [
                "flag",
                "set",
                "2",
                capability,
                "modern",
                "--reason",
                "the first tenant moves",
                "--output",
                "table",
            ];
            self.command(&flip, DONE).await?;
        }
        self.expect_everywhere(2, "modern").await?;
        for tenant in [3, 4] {
            self.expect_everywhere(tenant, "legacy").await?;
        }
        let after = self.get(2, Proxies::A, STATS).await?.body;
        self.see(
            same_figures(before, &after),
            "both sides tell tenant 2 the same figures",
        );
        self.tenant_2_sends_by_the_engine().await?;
        Ok(())
    }

    async fn tenant_3_moves_by_sql(&mut self) -> anyhow::Result<()> {
        narrator::chapter(3, "Tenant 3 moves by plain SQL");
        let insert = "insert into ficus.flag (tenant_id, capability, state) values (3, 'dashboard', 'legacy')";
        let update = "update ficus.flag set state = 'modern' where tenant_id = 3 and capability = 'dashboard'";
        let output = self.stage.psql(&[insert, update]).await?;
        let committed = Instant::now();
        self.see(output.status.success(), "psql took it");
        for which in [Proxies::A, Proxies::B] {
            let held = self.becomes(3, which, "modern").await?;
            let name = self.proxy(which).name;
            self.see(
                held,
                &format!(
                    "{name} sends tenant 3 to the modern side; {} after psql returned",
                    milliseconds(committed.elapsed())
                ),
            );
        }
        self.expect_everywhere(4, "legacy").await
    }

    async fn tenant_2_comes_back(&mut self) -> anyhow::Result<()> {
        narrator::chapter(4, "Tenant 2 comes back, confirmed by every proxy");
        let rollback = [
            "rollback",
            "--tenant",
            "2",
            "--reason",
            "figures look wrong",
            "--output",
            "table",
        ];
        let said = self.command_output(&rollback, DONE).await?;
        self.see(
            said.contains("2/2"),
            "the rollback says that 2 of 2 proxies have applied it",
        );
        self.expect_everywhere(2, "legacy").await?;
        self.expect_everywhere(3, "modern").await
    }

    async fn rollback_without_the_database(&mut self) -> anyhow::Result<()> {
        narrator::chapter(
            5,
            "PostgreSQL stops: traffic goes on, and rollback still works",
        );
        self.stage.stop_database().await?;
        narrator::remark("ficus' PostgreSQL is stopped.");
        self.expect_everywhere(2, "legacy").await?;
        self.expect_everywhere(3, "modern").await?;
        self.expect_everywhere(4, "legacy").await?;
        let sockets =
            [&self.stage.a, &self.stage.b].map(|proxy| proxy.socket.display().to_string());
        let rollback = [
            "rollback",
            "--local",
            &sockets[0],
            "--local",
            &sockets[1],
            "--tenant",
            "3",
            "--reason",
            CALL,
            "--output",
            "table",
        ];
        self.command(&rollback, DONE).await?;
        self.expect_everywhere(3, "legacy").await
    }

    async fn the_database_returns(&mut self) -> anyhow::Result<()> {
        narrator::chapter(
            6,
            "PostgreSQL returns: the proxies catch up, and the audit has what was done",
        );
        self.stage.start_database().await?;
        let returned = Instant::now();
        let home = "select count(*) >= 2 and not exists (select from ficus.flag where tenant_id = 3 and state <> 'legacy')
                    from ficus.change where action_id is not null and reason = 'the customer calls: a blank page'";
        let held = self.holds_in_the_database(home).await?;
        self.see(
            held,
            &format!(
                "both local actions stand in the audit, {} after the return",
                milliseconds(returned.elapsed())
            ),
        );
        let caught_up = "select count(*) = 2 and bool_and(applied_revision >= (select revision from ficus.clock))
                         from ficus.instance where 'proxy' = any (roles) and stopped_at is null";
        let held = self.holds_in_the_database(caught_up).await?;
        self.see(
            held,
            &format!(
                "both proxies have caught up, {} after the return",
                milliseconds(returned.elapsed())
            ),
        );
        self.expect_everywhere(3, "legacy").await?;
        let said = self
            .command_output(&["audit", "list", "--output", "table"], DONE)
            .await?;
        self.see(said.contains("local"), "`ficus audit list` shows them");
        self.command(&["status", "--output", "table"], DONE).await
    }

    async fn a_proxy_stops_answering(&mut self) -> anyhow::Result<()> {
        narrator::chapter(7, "One proxy of two hangs: rollback names it");
        self.command(
            &[
                "flag",
                "set",
                "2",
                "dashboard",
                "modern",
                "--reason",
                "try again",
                "--output",
                "table",
            ],
            DONE,
        )
        .await?;
        self.expect_everywhere(2, "modern").await?;
        self.stage.b.process.signal("STOP")?;
        narrator::remark("proxy-b got SIGSTOP.");
        let rollback = [
            "rollback",
            "--tenant",
            "2",
            "--reason",
            "wrong again",
            "--timeout",
            "2s",
            "--output",
            "table",
        ];
        let said = self.command_output(&rollback, NOT_CONFIRMED).await?;
        self.see(
            said.contains("proxy-b"),
            "the rollback names proxy-b as the one that lags",
        );
        let held = self.becomes(2, Proxies::A, "legacy").await?;
        self.see(held, "proxy-a has taken tenant 2 back all the same");
        self.stage.b.process.signal("CONT")?;
        narrator::remark("proxy-b got SIGCONT.");
        let held = self.becomes(2, Proxies::B, "legacy").await?;
        self.see(held, "proxy-b has caught up by itself");
        Ok(())
    }

    /// Asks both proxies at once, and expects one side.
    async fn expect_everywhere(&mut self, tenant: i64, side: &str) -> anyhow::Result<()> {
        let a = self.get(tenant, Proxies::A, STATS).await?;
        let b = self.get(tenant, Proxies::B, STATS).await?;
        let seen = format!(
            "GET {STATS} as tenant {tenant}: {} by {} on proxy-a, {} by {} on proxy-b",
            a.status, a.served_by, b.status, b.served_by
        );
        self.see(a.is_from(side) && b.is_from(side), &seen);
        Ok(())
    }

    /// Whether `side` comes to answer the tenant in time.
    async fn becomes(&mut self, tenant: i64, which: Proxies, side: &str) -> anyhow::Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            // A proxy that wakes up may break a connection: ask again.
            if self
                .get(tenant, which, STATS)
                .await
                .is_ok_and(|answer| answer.is_from(side))
            {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(false)
    }

    async fn holds_in_the_database(&self, question: &str) -> anyhow::Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.stage.ask(question).await? == "t" {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(false)
    }

    async fn command(&mut self, arguments: &[&str], expected: i32) -> anyhow::Result<()> {
        self.command_output(arguments, expected).await.map(|_| ())
    }

    /// What the command printed, on both streams.
    async fn command_output(
        &mut self,
        arguments: &[&str],
        expected: i32,
    ) -> anyhow::Result<String> {
        let output = self.stage.ficus(arguments).await?;
        if output.status.code() != Some(expected) {
            self.see(
                false,
                &format!(
                    "the command ended with {}, and not with {expected}",
                    output.status
                ),
            );
        }
        Ok(format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    async fn get(&mut self, tenant: i64, which: Proxies, path: &str) -> anyhow::Result<Answer> {
        let site = self.proxy(which).url.clone();
        let person = self.people.get_mut(&tenant);
        let person = person.with_context(|| format!("nobody of tenant {tenant} has logged in"))?;
        person.get(&site, path).await
    }

    fn proxy(&self, which: Proxies) -> &Proxy {
        match which {
            Proxies::A => &self.stage.a,
            Proxies::B => &self.stage.b,
        }
    }

    fn see(&mut self, holds: bool, what: &str) {
        narrator::seen(holds, what);
        self.failed += usize::from(!holds);
    }
}

#[derive(Clone, Copy)]
enum Proxies {
    A,
    B,
}

/// Tenant N's campaign N1, to three readers.
fn send_campaign(tenant: i64) -> String {
    format!("/campaign/send-email/campaign-{tenant}1/template-{tenant}1")
}

/// The same JSON, whatever its spacing.
fn same_figures(before: &str, after: &str) -> bool {
    let figures = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    figures(before).is_some_and(|before| Some(before) == figures(after))
}
