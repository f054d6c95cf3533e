//! The chapter of the wave: it moves by the tenants' classes, and the guard takes it back.
//!
//! Its own file, because it is the one chapter in which nobody gives the order to come back.

use std::time::Instant;

use super::super::narrator::{self, milliseconds};
use super::{DONE, Proxies, Story};

impl Story<'_> {
    pub(super) async fn a_wave_is_taken_back(&mut self) -> anyhow::Result<()> {
        narrator::chapter(
            8,
            "A wave moves, the modern side dies, and the guard takes the wave back",
        );
        let steps: [&[&str]; 4] = [
            &["tenant", "sync", "--reason", "classes by volume"],
            &[
                "wave",
                "plan",
                "dashboard",
                "--steps",
                "100",
                "--bake",
                "1h",
                "--gate",
                "guard",
                "--gate",
                "go",
                "--reason",
                "week 9",
            ],
            &["wave", "start", "dashboard-low", "--reason", "week 9"],
            &["wave", "show", "dashboard-low"],
        ];
        for step in steps {
            self.command(&[step, &["--output", "table"]].concat(), DONE)
                .await?;
        }
        narrator::remark(
            "A wave does not undo what a person decided: tenants 2 and 3 stay where the rollbacks put them.",
        );
        for (tenant, side) in [(2, "legacy"), (4, "legacy"), (7, "modern"), (8, "modern")] {
            self.expect_everywhere(tenant, side).await?;
        }
        self.stage.kill_modern().await?;
        let died = Instant::now();
        narrator::remark(
            "The modern services got SIGKILL. Tenants 7 and 8 go on looking at their dashboards.",
        );
        for tenant in [7, 8] {
            for which in [Proxies::A, Proxies::B] {
                let held = self.becomes(tenant, which, "legacy").await?;
                let name = self.proxy(which).name;
                self.see(
                    held,
                    &format!(
                        "{name} has tenant {tenant} back on legacy, {} after the death",
                        milliseconds(died.elapsed())
                    ),
                );
            }
        }
        let taken_back = "select exists (select from ficus.change where source = 'guard' and reason like '%dashboard-low%')
                          and not exists (select from ficus.flag where capability = 'dashboard' and state = 'modern')";
        let held = self.holds_in_the_database(taken_back).await?;
        self.see(
            held,
            "the guard took back the whole wave, tenant 1 too, who had not looked",
        );
        self.stage.revive_modern().await?;
        let said = self
            .command_output(
                &["audit", "list", "--limit", "3", "--output", "table"],
                DONE,
            )
            .await?;
        self.see(
            said.contains("guard"),
            "`ficus audit list` says who did it and why",
        );
        let said = self
            .command_output(&["audit", "verify", "--output", "table"], DONE)
            .await?;
        self.see(
            said.contains("intact"),
            "`ficus audit verify` finds the whole audit as it was written",
        );
        Ok(())
    }
}
