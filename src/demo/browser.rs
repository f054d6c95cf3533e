//! A person's browser, as far as the demo needs one: cookies, a log-in form, and who answered.
//!
//! Its own file, because the story reads better when it does not parse headers.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Method, RequestBuilder};

/// What came back, as far as the story looks at it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// `legacy` or `modern`, by `x-ficus-served-by`; `nobody` when the header is missing.
    pub served_by: String,
    pub body: String,
}

impl Answer {
    pub fn is_from(&self, side: &str) -> bool {
        self.served_by == side && (200..300).contains(&self.status)
    }
}

#[derive(Clone)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            cookies: BTreeMap::new(),
        }
    }

    /// Logs in at `site` through the application's own form.
    pub async fn log_in(&mut self, site: &str, email: &str, password: &str) -> anyhow::Result<()> {
        let form = self.get(site, "/login").await?;
        let token = form_token(&form.body).with_context(|| {
            format!("no form to log in at {site}/login: status {}", form.status)
        })?;
        let fields = [
            ("_token", token.as_str()),
            ("email", email),
            ("password", password),
        ];
        let body: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", form_encode(value)))
            .collect();
        let request = self.client.request(Method::POST, format!("{site}/login"));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        let answer = self.send(request).await?;
        ensure!(
            answer.status == 302,
            "could not log in as {email} at {site}: status {}",
            answer.status
        );
        Ok(())
    }

    /// Asks for JSON, as the dashboard's own scripts do.
    pub async fn get(&mut self, site: &str, path: &str) -> anyhow::Result<Answer> {
        self.send(
            self.client
                .get(format!("{site}{path}"))
                .header("accept", "application/json"),
        )
        .await
    }

    async fn send(&mut self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies.join("; "))
        };
        let response = request.send().await?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie
                .to_str()
                .unwrap_or_default()
                .split(';')
                .next()
                .unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies
                    .insert(name.trim().to_owned(), value.to_owned());
            }
        }
        let served_by = response
            .headers()
            .get("x-ficus-served-by")
            .and_then(|it| it.to_str().ok())
            .unwrap_or("nobody")
            .to_owned();
        Ok(Answer {
            status: response.status().as_u16(),
            served_by,
            body: response.text().await?,
        })
    }
}

/// The hidden field that Laravel's `@csrf` writes.
fn form_token(html: &str) -> Option<String> {
    let field = html.split("name=\"_token\"").nth(1)?;
    Some(
        field
            .split("value=\"")
            .nth(1)?
            .split('"')
            .next()?
            .to_owned(),
    )
}

/// Everything but letters and digits, which is more than a form needs and never wrong.
fn form_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_laravels_field() {
        let html = r#"<form><input type="hidden" name="_token" value="aB3"><input name="email" value="x">"#;
        assert_eq!(form_token(html).as_deref(), Some("aB3"));
        assert_eq!(form_token("<form></form>"), None);
    }

    #[test]
    fn a_form_value_is_encoded() {
        assert_eq!(form_encode("a+b@x"), "a%2Bb%40x");
    }
}
