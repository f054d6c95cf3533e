//! The demo: the migration story, played on real parts.
//!
//! Its own folder, because it is the product's user and no part of it: it starts `ficus` as anybody would.

pub mod browser;
pub mod legacy;
pub mod mail;
mod narrator;
mod ports;
pub mod process;
mod proxy;
mod stage;
mod story;

use std::time::{Duration, Instant};

use anyhow::Context;

use stage::Stage;
use story::Story;

/// Plays the story. With `check` it ends then; otherwise everything stays up until Ctrl-C or SIGTERM.
/// True: every step was as it should be.
pub async fn run(check: bool) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut stage = Stage::set().await?;
    let told = match Story::begin(&mut stage).await {
        Ok(story) => story.play().await,
        Err(error) => Err(error),
    };
    let held = match told {
        Ok(held) => held,
        Err(error) => {
            // What cannot go on is a failed step; the logs stay, and so does the stage for a look around.
            narrator::seen(false, &format!("the story broke off: {error:#}"));
            false
        }
    };
    let verdict = if held {
        "every step was as it should be"
    } else {
        "some steps were not as they should be, see FAIL above"
    };
    println!(
        "\n{verdict} ({:.1} s); logs are in {}",
        begun.elapsed().as_secs_f64(),
        stage.folder().display()
    );
    if !check {
        print_urls(&stage);
        wait_for_the_end().await?;
        narrator::doing("stopping");
    }
    stage.clear().await?;
    Ok(held)
}

fn print_urls(stage: &Stage) {
    println!(
        "\n   the application, through proxy-a   {}   log in as owner@bluebird.test, password secret",
        stage.a.url
    );
    println!("   the same, through proxy-b          {}", stage.b.url);
    println!("   the application alone              {}", stage.legacy.url);
    println!("   the admin API                      {}", stage.admin_url);
    println!(
        "   the mail catcher                   http://{}   (SMTP on {})",
        stage.mail.page, stage.mail.smtp
    );
    println!("\n   Try, in another terminal:");
    println!(
        "     export FICUS_URL={} FICUS_TOKEN={}",
        stage.admin_url,
        stage.token().unwrap_or("(none)")
    );
    if let Ok(program) = std::env::current_exe() {
        println!("     alias ficus={}", program.display());
    }
    println!("     export DATABASE_URL='{}'", stage.database_url());
    println!("     ficus status");
    println!("     ficus flag set 2 dashboard modern --reason 'my first flip'");
    println!("     ficus rollback --tenant 2 --reason 'and back'");
    println!(
        "     psql \"$DATABASE_URL\" -c \"update ficus.flag set state = 'modern' where tenant_id = 3\""
    );
    println!("\n   Ctrl-C ends it.");
}

async fn wait_for_the_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended.context("could not listen for Ctrl-C")?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// A client that takes no redirect and no proxy: what the story sees is what was answered.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    // Somebody may have installed it before us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()?)
}
