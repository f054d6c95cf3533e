//! A campaign's subject and bodies, compiled once, with each recipient's values put in.
//!
//! Its own folder, because this is the one place where customers' data meets HTML and headers: what is escaped, and what is
//! refused, is decided here and nowhere else.
//!
//! A difference from legacy is meant: legacy fills in `{name}` and two links in the HTML, leaves what it does not know as it
//! stands, and sends the subject as it is. Here every variable works in all three, and one without a value is that recipient's fault.

use std::borrow::Cow;

pub mod escape;
pub mod parse;

use escape::push_html;
pub use parse::{Fault, Flaw};
use parse::{Piece, at, parse};

/// Bytes of a subject, as source and as sent. Legacy's column has room for 255 characters.
pub const SUBJECT_LIMIT: usize = 1000;
/// Bytes of a body's source. Large newsletters have 100 KiB, and Gmail cuts what it shows at 102 KiB.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// Bytes of a body once it is filled in.
pub const RENDERED_LIMIT: usize = 2 * BODY_LIMIT;

/// Where a template's text will stand, which says how values are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header: no line breaks, no control characters.
    Subject,
    /// Values are escaped.
    Html,
    /// Values stand as they are.
    Text,
}

/// Why one recipient's mail cannot be written. The name is the variable's; the value is not told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientFault {
    #[error("the recipient has no value for {{{0}}}")]
    Missing(String),
    #[error(
        "the recipient's value for {{{0}}} has a line break or a control character, which no subject may have"
    )]
    Control(String),
    #[error("with the recipient's values it is longer than {0} bytes")]
    TooLong(usize),
}

/// One compiled text.
#[derive(Clone, Debug)]
pub struct Template {
    place: Place,
    source: String,
    pieces: Vec<Piece>,
    names: Vec<String>,
    limit: usize,
}

impl Template {
    pub fn compile(place: Place, source: impl Into<String>) -> Result<Self, Fault> {
        let source = source.into();
        let (longest, limit) = match place {
            Place::Subject => (SUBJECT_LIMIT, SUBJECT_LIMIT),
            Place::Html | Place::Text => (BODY_LIMIT, RENDERED_LIMIT),
        };
        if source.len() > longest {
            return Err(at(&source, 0, Flaw::TooLong { limit: longest }));
        }
        if place == Place::Subject
            && let Some(offset) = source.find(char::is_control)
        {
            return Err(at(&source, offset, Flaw::Control));
        }
        let (pieces, names) = parse(&source)?;
        Ok(Self {
            place,
            source,
            pieces,
            names,
            limit,
        })
    }

    /// The variables that it needs, each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Appends the text for the recipient whose values `value` knows. After a fault `out` is as it was.
    pub fn render<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
        out: &mut String,
    ) -> Result<(), RecipientFault> {
        let start = out.len();
        let rendered = self.render_pieces(value, out, start);
        if rendered.is_err() {
            out.truncate(start);
        }
        rendered
    }

    fn render_pieces<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
        out: &mut String,
        start: usize,
    ) -> Result<(), RecipientFault> {
        out.reserve(self.source.len());
        for piece in &self.pieces {
            match piece {
                Piece::Literal(range) => out.push_str(&self.source[range.clone()]),
                Piece::Variable(index) => {
                    let name = &self.names[*index];
                    let value = value(name).ok_or_else(|| RecipientFault::Missing(name.clone()))?;
                    // Before it is copied: a value is as long as whoever stored it liked.
                    if out.len() - start + value.len() > self.limit {
                        return Err(RecipientFault::TooLong(self.limit));
                    }
                    match self.place {
                        Place::Html => push_html(out, value),
                        Place::Text => out.push_str(value),
                        Place::Subject if value.contains(char::is_control) => {
                            return Err(RecipientFault::Control(name.clone()));
                        }
                        Place::Subject => out.push_str(value),
                    }
                }
            }
            if out.len() - start > self.limit {
                return Err(RecipientFault::TooLong(self.limit));
            }
        }
        Ok(())
    }
}

/// Which of a campaign's three texts a fault is in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {fault}")]
pub struct CampaignFault {
    /// `subject`, `html` or `text`.
    pub part: &'static str,
    pub fault: Fault,
}

/// A campaign's three texts. Its text body is made from the HTML where none is given.
#[derive(Clone, Debug)]
pub struct CampaignTemplate {
    subject: Template,
    html: Option<Template>,
    text: Template,
}

/// One recipient's texts. Kept by the caller from recipient to recipient, so that nothing is allocated for most of them.
#[derive(Debug, Default)]
pub struct Rendered {
    pub subject: String,
    pub html: Option<String>,
    pub text: String,
}

impl CampaignTemplate {
    /// `plain` makes a text of HTML, for a campaign that brings no text of its own. Neither body: an empty text.
    pub fn compile(
        subject: &str,
        html: Option<&str>,
        text: Option<&str>,
        plain: impl FnOnce(&str) -> String,
    ) -> Result<Self, CampaignFault> {
        let part = |part| move |fault| CampaignFault { part, fault };
        let compiled = html
            .map(|html| Template::compile(Place::Html, html).map_err(part("html")))
            .transpose()?;
        let text: Cow<'_, str> = match (text, html) {
            (Some(text), _) => text.into(),
            (None, Some(html)) => plain(html).into(),
            (None, None) => "".into(),
        };
        Ok(Self {
            subject: Template::compile(Place::Subject, subject).map_err(part("subject"))?,
            html: compiled,
            text: Template::compile(Place::Text, text).map_err(part("text"))?,
        })
    }

    /// Every variable that a recipient must have a value for.
    pub fn names(&self) -> Vec<&str> {
        let parts = [Some(&self.subject), self.html.as_ref(), Some(&self.text)];
        let mut names: Vec<&str> = Vec::new();
        for name in parts.into_iter().flatten().flat_map(Template::names) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Writes one recipient's texts into `into`, over those of the one before. After a fault they are nobody's: send none of them.
    pub fn render<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
        into: &mut Rendered,
    ) -> Result<(), RecipientFault> {
        into.subject.clear();
        into.text.clear();
        self.subject.render(&value, &mut into.subject)?;
        self.text.render(&value, &mut into.text)?;
        let Some(html) = &self.html else {
            into.html = None;
            return Ok(());
        };
        let out = into.html.get_or_insert_default();
        out.clear();
        html.render(&value, out)
    }
}

#[cfg(test)]
mod tests;
