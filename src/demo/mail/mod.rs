//! The demo's mail catcher: takes every message that is sent to it and delivers none.
//!
//! Its own folder, because it is a real SMTP server with a page, of which the rest of the demo sees three calls.

mod lines;
mod page;
mod smtp;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub use store::{Message, Store};

/// A running catcher; dropped, it stops.
pub struct MailCatcher {
    pub smtp: SocketAddr,
    pub page: SocketAddr,
    store: Arc<Store>,
    _listeners: [AbortOnDropHandle<()>; 2],
}

impl MailCatcher {
    /// Listens on loopback. Messages are kept in `folder` as `.eml` files, the newest thousand of them.
    pub async fn start(smtp_port: u16, page_port: u16, folder: &Path) -> anyhow::Result<Self> {
        let store = Arc::new(Store::open(folder)?);
        let smtp = listen(smtp_port).await?;
        let page = listen(page_port).await?;
        let addresses = (smtp.local_addr()?, page.local_addr()?);
        let listeners = [
            AbortOnDropHandle::new(tokio::spawn(smtp::serve(smtp, store.clone()))),
            AbortOnDropHandle::new(tokio::spawn(page::serve(page, store.clone()))),
        ];
        Ok(Self {
            smtp: addresses.0,
            page: addresses.1,
            store,
            _listeners: listeners,
        })
    }

    /// How many messages have come since the start, also those that are no longer kept.
    pub fn received(&self) -> u64 {
        self.store.received()
    }

    /// What is kept, newest first.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.store.newest_first()
    }
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("could not listen on 127.0.0.1:{port}"))
}
