//! A person's browser in front of the proxy: keeps cookies, posts forms with Laravel's CSRF token, follows nothing.
//!
//! Its own file, because these tests look at headers that the demo's browser has no use for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use reqwest::header::{ACCEPT, COOKIE, HOST, HeaderMap, SET_COOKIE};
use reqwest::{Client, Method};

use crate::support::process::client;

pub const JSON: &str = "application/json";
pub const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// The host under which the visitors know the application. No test resolves it.
pub const SITE: &str = "campaigns.example.test";

#[derive(Clone)]
pub struct Visitor {
    client: Client,
    site: SocketAddr,
    cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    /// `legacy` or `modern`, or nobody.
    pub fn served_by(&self) -> &str {
        self.header("x-ficus-served-by")
    }

    /// Empty when the header is missing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| {
            value.to_str().expect("a header that can be read")
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}), status {}: {}", self.status, self.body))
    }

    /// The hidden field that `@csrf` writes into a form.
    fn form_token(&self) -> &str {
        let field = self.body.split("name=\"_token\" value=\"").nth(1);
        field
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_else(|| {
                panic!(
                    "no form with a token, status {}: {}",
                    self.status, self.body
                )
            })
    }
}

impl Visitor {
    pub fn at(site: SocketAddr) -> Self {
        Self {
            client: client(),
            site,
            cookies: BTreeMap::new(),
        }
    }

    /// The same person with the same cookies, at another address.
    pub fn moved_to(&self, site: SocketAddr) -> Self {
        Self {
            site,
            ..self.clone()
        }
    }

    /// Through the application's own form.
    pub async fn log_in(site: SocketAddr, email: &str) -> Self {
        let mut visitor = Self::at(site);
        let form = visitor.get("/login", BROWSER).await;
        let answer = visitor
            .post_form(
                "/login",
                &form,
                &format!("&email={email}&password=secret").replace('@', "%40"),
            )
            .await;
        assert_eq!(answer.status, 302, "{answer:?}");
        visitor
    }

    /// As the browser would send them.
    pub fn cookies(&self) -> String {
        let pairs: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// Changes one letter in the middle of the session's cookie.
    pub fn alter_session(&mut self) {
        let cookie = self
            .cookies
            .get_mut("laravel_session")
            .expect("a session's cookie");
        let middle = cookie.len() / 2;
        let other = if &cookie[middle..=middle] == "A" {
            "B"
        } else {
            "A"
        };
        cookie.replace_range(middle..=middle, other);
    }

    /// Puts another cookie's value in the place of the session's: sealed by the same key, for another name.
    pub fn swap_session(&mut self) {
        let other = self.cookies["XSRF-TOKEN"].clone();
        self.cookies.insert("laravel_session".to_owned(), other);
    }

    /// With the button that each of legacy's pages has.
    pub async fn log_out(&mut self, page: &Answer) -> Answer {
        self.post_form("/logout", page, "").await
    }

    /// Posts what a form on `page` would.
    pub async fn post_form(&mut self, path: &str, page: &Answer, fields: &str) -> Answer {
        let body = format!("_token={}{fields}", page.form_token());
        self.send(Method::POST, path, BROWSER, Some(body)).await
    }

    pub async fn get(&mut self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, accept, None).await
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        form: Option<String>,
    ) -> Answer {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.site))
            .header(HOST, SITE)
            .header(ACCEPT, accept);
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
        }
        if !self.cookies.is_empty() {
            request = request.header(COOKIE, self.cookies());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            let text = cookie.to_str().expect("a cookie that can be read");
            if let Some((name, value)) = text.split(';').next().and_then(|it| it.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Answer {
            status,
            headers,
            body: response.text().await.expect("a body"),
        }
    }
}
