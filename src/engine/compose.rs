//! Makes the mail of a message that is due: its letter, with the recipient's values put in, as the bytes that a server gets.
//!
//! Its own file, because it is done again on each attempt and must come to the same bytes: what can differ is fetched here and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sqlx::PgPool;
use uuid::Uuid;

use super::address::{Address, Mailbox};
use super::attachment::{Fetcher, Source, Wanted};
use super::letter::{Body, Letter, NamedServer, StoredFile, Tracked};
use super::links::{self, LinkMaker};
use super::mail::dkim::Signers;
use super::mail::header::{HttpsUrl, Subject};
use super::mail::{File, Mail, plain};
use super::provider::smtp;
use super::queue::Due;
use super::retry::Class;
use super::template::{CampaignTemplate, Rendered};

/// Bytes of letters that are kept compiled.
const CACHED: u64 = 64 * 1024 * 1024;
const IDLE: Duration = Duration::from_secs(600);

/// Makes mails. One for the process.
pub struct Composer {
    pool: PgPool,
    letters: Cache<Uuid, Arc<Compiled>>,
    fetcher: Fetcher,
    public_url: Option<String>,
    /// `None`: mails have nothing to unsubscribe by.
    links: Option<LinkMaker>,
    signers: Signers,
}

/// A mail, and the server that it asks for.
pub struct Composed {
    pub message: smtp::Message,
    pub server: Option<NamedServer>,
}

/// Why there is no mail: permanently, or for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    pub class: Class,
    /// For the ledger.
    pub code: &'static str,
}

/// A letter whose parts are checked.
struct Compiled {
    letter: Letter,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    /// `None`: its texts stand as they are.
    template: Option<CampaignTemplate>,
}

impl Composer {
    pub fn new(
        pool: PgPool,
        public_url: Option<String>,
        links: Option<LinkMaker>,
        signers: Signers,
    ) -> Self {
        let letters = Cache::builder()
            .max_capacity(CACHED)
            .weigher(|_, it: &Arc<Compiled>| it.weight())
            .time_to_idle(IDLE)
            .build();
        Self {
            pool,
            letters,
            fetcher: Fetcher::default(),
            public_url,
            links,
            signers,
        }
    }

    pub async fn compose(&self, due: &Due) -> Result<Composed, Unsent> {
        let mut body: Body =
            serde_json::from_str(&due.body).map_err(|_| Unsent::permanent("bad-body"))?;
        let compiled = match (body.letter.take(), due.content) {
            (Some(letter), _) => Arc::new(Compiled::of(letter)?),
            (None, Some(content)) => self.letter(content).await?,
            (None, None) => return Err(Unsent::permanent("bad-body")),
        };
        let files = self.files(&compiled.letter.files).await?;
        let mut rendered = compiled.render(&self.links(due), &body)?;
        if let (Some(tracked), Some(html)) = (compiled.letter.tracked, &rendered.html) {
            rendered.html = Some(self.track(due, tracked, html.clone()).await?);
        }
        let bytes = self.write(due, &body, &compiled, &rendered, &files)?;
        let server = body.server;
        let address = |mailbox: &Mailbox| smtp::Address::parse(mailbox.address().as_str());
        let from = address(&compiled.from).map_err(|_| Unsent::permanent("bad-sender"))?;
        let from = self.return_path(due).unwrap_or(from);
        let to =
            smtp::Address::parse(&due.recipient).map_err(|_| Unsent::permanent("bad-recipient"))?;
        let envelope = smtp::Envelope::new(Some(from), vec![to])
            .and_then(|envelope| envelope.with_id(&due.id.to_string()));
        let message = envelope
            .and_then(|envelope| smtp::Message::new(envelope, bytes))
            .map_err(|_| Unsent::permanent("too-large"))?;
        Ok(Composed { message, server })
    }

    fn write(
        &self,
        due: &Due,
        body: &Body,
        compiled: &Compiled,
        rendered: &Rendered,
        files: &[File],
    ) -> Result<Vec<u8>, Unsent> {
        let recipient = Address::parse(&due.recipient);
        let to = recipient
            .and_then(|it| Mailbox::new(it, body.name.as_deref()))
            .map_err(|_| Unsent::permanent("bad-recipient"))?;
        let subject =
            Subject::new(&rendered.subject).map_err(|_| Unsent::permanent("bad-subject"))?;
        let unsubscribe = self.unsubscribe(due);
        let mail = Mail {
            id: due.id.0,
            date: due.id.made_at().unwrap_or_default(),
            from: &compiled.from,
            reply_to: compiled.reply_to.as_ref(),
            to: &to,
            subject: &subject,
            text: &rendered.text,
            html: rendered.html.as_deref(),
            campaign: due.campaign,
            unsubscribe: unsubscribe.as_ref(),
            files,
            signers: &self.signers,
        };
        mail.build().map_err(|_| Unsent::permanent("bad-mail"))
    }

    /// With links of ours, where the sender asked for them and there are any.
    async fn track(&self, due: &Due, tracked: Tracked, html: String) -> Result<String, Unsent> {
        let Some(links) = &self.links else {
            return Ok(html);
        };
        let (tenant, message) = (due.tenant, due.id.0);
        let mut html = html;
        if tracked.clicks {
            let source = links::Source::Message(due.id);
            // The same in each attempt. What is stored leads readers, so it is stored before a byte leaves.
            let stored =
                links::store_targets(&self.pool, tenant, source, &links.targets(&html)).await;
            let targets = stored.map_err(|_| Unsent::for_now("no-database"))?;
            html = links.lead_through(&html, tenant, message, &targets);
        }
        match tracked.opens {
            true => Ok(links.with_pixel(&html, tenant, message)),
            false => Ok(html),
        }
    }

    /// Who is told when the mail does not arrive.
    fn return_path(&self, due: &Due) -> Option<smtp::Address> {
        let path = self.links.as_ref()?.return_path(due.tenant, due.id.0)?;
        smtp::Address::parse(&path).ok()
    }

    /// Of what many get. Mail providers unsubscribe over https alone.
    fn unsubscribe(&self, due: &Due) -> Option<HttpsUrl> {
        let (links, _) = (self.links.as_ref()?, due.campaign?);
        HttpsUrl::new(&links.unsubscribe(due.tenant, due.id.0)).ok()
    }

    /// Legacy's own form: old mails have it, and legacy's tables know the message by its id.
    fn links(&self, due: &Due) -> Option<[String; 2]> {
        let base = self.public_url.as_ref()?;
        Some(["click", "open"].map(|what| format!("{base}/tracker/{}/{what}", due.id)))
    }

    async fn letter(&self, content: Uuid) -> Result<Arc<Compiled>, Unsent> {
        if let Some(found) = self.letters.get(&content).await {
            return Ok(found);
        }
        let body: Option<String> =
            sqlx::query_scalar("select body from ficus.content where id = $1")
                .bind(content)
                .fetch_optional(&self.pool)
                .await
                .map_err(|_| Unsent::for_now("no-database"))?;
        let body = body.ok_or(Unsent::permanent("no-content"))?;
        let letter = serde_json::from_str(&body).map_err(|_| Unsent::permanent("bad-content"))?;
        let compiled = Arc::new(Compiled::of(letter)?);
        self.letters.insert(content, Arc::clone(&compiled)).await;
        Ok(compiled)
    }

    async fn files(&self, stored: &[StoredFile]) -> Result<Vec<File>, Unsent> {
        let mut files = Vec::with_capacity(stored.len());
        for file in stored {
            let source = match (&file.url, &file.base64) {
                (Some(url), None) => Source::Url(url),
                (None, Some(text)) => Source::Base64(text),
                _ => return Err(Unsent::permanent("bad-file")),
            };
            let wanted = Wanted {
                name: &file.name,
                kind: file.kind.as_deref(),
                inline: file.inline.as_deref(),
                source,
            };
            let loaded = self.fetcher.load(&wanted).await;
            files.push(loaded.map_err(|fault| match fault.is_transient() {
                true => Unsent::later("file-away"),
                false => Unsent::permanent("bad-file"),
            })?);
        }
        Ok(files)
    }
}

impl Compiled {
    fn of(letter: Letter) -> Result<Self, Unsent> {
        let mailbox = |email: &str, name: Option<&str>| {
            Address::parse(email).and_then(|it| Mailbox::new(it, name))
        };
        let from = mailbox(&letter.from.email, letter.from.name.as_deref())
            .map_err(|_| Unsent::permanent("bad-sender"))?;
        let reply_to = letter.reply_to.as_deref().map(|email| mailbox(email, None));
        let reply_to = reply_to
            .transpose()
            .map_err(|_| Unsent::permanent("bad-reply-to"))?;
        let template = letter.is_template.then(|| letter.compile());
        let template = template
            .transpose()
            .map_err(|_| Unsent::permanent("bad-template"))?;
        Ok(Self {
            letter,
            from,
            reply_to,
            template,
        })
    }

    fn render(&self, links: &Option<[String; 2]>, body: &Body) -> Result<Rendered, Unsent> {
        let mut rendered = Rendered::default();
        let Some(template) = &self.template else {
            let Letter {
                subject,
                html,
                text,
                ..
            } = &self.letter;
            let text = match (text, html) {
                (Some(text), _) => text.clone(),
                (None, Some(html)) => plain::text_of(html),
                (None, None) => String::new(),
            };
            return Ok(Rendered {
                subject: subject.clone(),
                html: html.clone(),
                text,
            });
        };
        let value = |name: &str| match name {
            "click_url" => links.as_ref().map(|[click, _]| click.as_str()),
            "open_url" => links.as_ref().map(|[_, open]| open.as_str()),
            "name" => Some(
                body.variables
                    .get("name")
                    .or(body.name.as_ref())
                    .map_or("", |it| it),
            ),
            name => body.variables.get(name).map(String::as_str),
        };
        template
            .render(value, &mut rendered)
            .map_err(|_| Unsent::permanent("bad-variable"))?;
        Ok(rendered)
    }

    fn weight(&self) -> u32 {
        let bytes = self.letter.html.as_ref().map_or(0, String::len)
            + self.letter.text.as_ref().map_or(0, String::len);
        // As source, and compiled, and as text.
        u32::try_from(3 * bytes + 2_000).unwrap_or(u32::MAX)
    }
}

impl Letter {
    /// Its three texts as templates.
    pub fn compile(&self) -> Result<CampaignTemplate, super::template::CampaignFault> {
        CampaignTemplate::compile(
            &self.subject,
            self.html.as_deref(),
            self.text.as_deref(),
            plain::text_of,
        )
    }
}

impl Unsent {
    fn permanent(code: &'static str) -> Self {
        let class = Class::Permanent;
        Self { class, code }
    }

    /// It is this message's alone: it waits for its next time, and the others go on.
    fn later(code: &'static str) -> Self {
        let class = Class::Transient(None);
        Self { class, code }
    }

    /// It is nobody's fault: everything waits.
    fn for_now(code: &'static str) -> Self {
        let class = Class::NotSent;
        Self { class, code }
    }
}
