//! The demo: the migration story, played on real parts.
//!
//! Its own folder, because it is the product's user and no part of it: it starts `ficus` as anybody would.

pub mod browser;
pub mod legacy;
pub mod mail;
pub mod process;

use std::time::Duration;

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
