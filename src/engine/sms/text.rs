//! A text as it is stored, and with a recipient's values put in.
//!
//! Its own file, and pure, because these forms stand in the database for as long as messages do: what is added to them must be optional.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::template::{Fault, Place, Template};

/// Characters of a finished text: Twilio's bound, and of the four vendors the largest that more than one has.
pub const TEXT_LIMIT: usize = 1600;

/// A text before it is anybody's: what messages of a campaign share. It does not print.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub text: String,
    /// `None`: the sender that the tenant has stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `None`: the first gateway that the tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// It has `{variables}` in it.
    #[serde(default)]
    pub is_template: bool,
    /// Of a campaign: by it no two runs share a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
}

/// The column `message.body` of a text message. It does not print.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Its own. Otherwise it is its content's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text>,
    /// Of a request that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Text {
    /// `None`: it stands as it is.
    pub fn compile(&self) -> Result<Option<Template>, Fault> {
        match self.is_template {
            true => Template::compile(Place::Text, self.text.as_str()).map(Some),
            false => Ok(None),
        }
    }

    /// What the recipient gets. `None`: a variable has no value, or its text is no template.
    pub fn render(&self, body: &TextBody) -> Option<String> {
        let Some(template) = self.compile().ok()? else {
            return Some(self.text.clone());
        };
        let value = |name: &str| match (body.variables.get(name), name) {
            (Some(value), _) => Some(value.as_str()),
            (None, "name") => Some(body.name.as_deref().unwrap_or_default()),
            (None, _) => None,
        };
        let mut rendered = String::new();
        template.render(value, &mut rendered).ok()?;
        Some(rendered)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("is_template", &self.is_template)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TextBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_a_template_and_braces_in_a_text() {
        let mut text = Text {
            text: "{name}: {what}".to_owned(),
            is_template: true,
            ..Text::default()
        };
        let mut body = TextBody {
            name: Some("Ann".to_owned()),
            ..TextBody::default()
        };
        assert_eq!(text.render(&body), None, "{{what}} has no value");
        body.variables.insert("what".to_owned(), "<b>".to_owned());
        assert_eq!(text.render(&body).as_deref(), Some("Ann: <b>"));
        text.is_template = false;
        assert_eq!(text.render(&body).as_deref(), Some("{name}: {what}"));
    }
}
