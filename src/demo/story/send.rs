//! The send of a tenant that has moved: ficus' own engine mails it, and legacy's tables say so.
//!
//! Its own file, because what a campaign leaves in legacy's tables is looked at row by row.

use std::time::{Duration, Instant};

use super::super::narrator::milliseconds;
use super::{Proxies, Story, send_campaign};

/// For three mails through one server on this machine.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What legacy's pages show of tenant 2's campaign: quota left, trackers that say sent, records of sends, logs.
const ROWS: &str = "select concat_ws(' ', \
    (select email from email_s_m_s_limit_rates where owner_id = 2), \
    (select count(*) from email_trackers where campaign_id = 21 and status = 'sent'), \
    (select count(*) from user_sent_records where owner_id = 2 and created_at > now() at time zone 'utc' - interval '1 hour'), \
    (select count(*) from campaign_logs where campaign_id = 21 and sent = 3 and failed = 0))";

impl Story<'_> {
    pub(super) async fn tenant_2_sends_by_the_engine(&mut self) -> anyhow::Result<()> {
        let before = self.rows().await?;
        let (caught, asked) = (self.stage.mail.received(), Instant::now());
        let sent = self.get(2, Proxies::A, &send_campaign(2)).await?;
        let answered = asked.elapsed();
        let expected = [before[0] - 3, before[1] + 3, before[2] + 3, before[3] + 1];
        let mut after = self.rows().await?;
        while after != expected && asked.elapsed() < PATIENCE {
            tokio::time::sleep(LOOK_AGAIN).await;
            after = self.rows().await?;
        }
        let mails = self.stage.mail.received() - caught;
        self.see(
            sent.status == 202 && sent.served_by == "modern" && mails == 3,
            &format!(
                "tenant 2's next send is the engine's: {} by {} after {}, and {mails} mails arrive",
                sent.status,
                sent.served_by,
                milliseconds(answered)
            ),
        );
        self.see(
            after == expected,
            &format!(
                "legacy's tables say so: quota {} → {}, {} trackers, {} records and {} log more, all of it {} after the click",
                before[0],
                after[0],
                after[1] - before[1],
                after[2] - before[2],
                after[3] - before[3],
                milliseconds(asked.elapsed())
            ),
        );
        Ok(())
    }

    async fn rows(&self) -> anyhow::Result<[i64; 4]> {
        let told = self.stage.ask_legacy(ROWS).await?;
        let mut numbers = [0; 4];
        for (number, text) in numbers.iter_mut().zip(told.split(' ')) {
            *number = text.parse()?;
        }
        Ok(numbers)
    }
}
