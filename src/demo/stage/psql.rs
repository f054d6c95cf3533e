//! psql on the stage: what the story does and asks as any client might.
//!
//! Its own file, because the databases are spoken to by a program that people have, and not by ficus.

use std::process::Output;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::super::legacy::Legacy;
use super::super::narrator;
use super::Stage;

impl Stage {
    /// Runs statements in psql on ficus' database, as any client might.
    pub async fn psql(&self, statements: &[&str]) -> anyhow::Result<Output> {
        let arguments: Vec<&str> = statements.iter().flat_map(|it| ["-c", it]).collect();
        narrator::command("psql", &[&["$DATABASE_URL"], &arguments[..]].concat());
        let output = Command::new(&self.psql)
            .args([
                "-X",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.ficus_database_url,
            ])
            .args(&arguments)
            .output()
            .await
            .context("could not run psql")?;
        narrator::output(&output);
        Ok(output)
    }

    /// One value from ficus' database, without telling the story of it.
    pub async fn ask(&self, question: &str) -> anyhow::Result<String> {
        self.ask_at(&self.ficus_database_url, question).await
    }

    /// One value from legacy's tables.
    pub async fn ask_legacy(&self, question: &str) -> anyhow::Result<String> {
        let url = Legacy::database_url(&self.legacy_database);
        self.ask_at(&url, question).await
    }

    async fn ask_at(&self, url: &str, question: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.psql);
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            question,
        ]);
        let output = command.output().await.context("could not run psql")?;
        ensure!(
            output.status.success(),
            "psql: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
