//! Which web pages of other origins may read an answer: the server's side of CORS, as the Fetch standard has it.
//!
//! Pure, and its own folder, because a browser holds to these fields to the letter, and one too many opens an application.

mod origin;

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub use origin::OriginPattern;

/// What an upstream may not say on a route that says it itself.
pub const FIELDS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// `cors` of a `[[route]]`, checked: credentials never go with every origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Cors {
    pub origins: Vec<OriginPattern>,
    /// Empty: those of the route; where it takes every method, the one that is asked for.
    pub methods: Vec<Method>,
    pub headers: Headers,
    pub expose: Vec<HeaderName>,
    pub credentials: bool,
    pub max_age: Duration,
}

/// Fields that a page may send.
#[derive(Clone, Debug, PartialEq)]
pub enum Headers {
    /// Whichever are asked for: `*` itself would leave `authorization` out, and mean nothing with credentials.
    Any,
    Named(Vec<HeaderName>),
}

/// The rules of one route, with every value made that can be made beforehand.
pub struct Rules {
    origins: Vec<OriginPattern>,
    any_origin: bool,
    /// `None`: whatever is asked for.
    methods: Option<HeaderValue>,
    headers: AllowedHeaders,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

enum AllowedHeaders {
    Any,
    /// `None`: only those that need no leave.
    Named(Option<HeaderValue>),
}

/// The method of the request that a preflight comes before. `None`: the request is no preflight.
pub fn preflight_for(method: &Method, headers: &HeaderMap) -> Option<Method> {
    if method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

impl Rules {
    /// `methods` are the route's.
    pub fn compile(cors: &Cors, methods: &[Method]) -> Self {
        let methods = match cors.methods.as_slice() {
            [] => methods,
            own => own,
        };
        Self {
            any_origin: cors.origins.contains(&OriginPattern::Any),
            origins: cors.origins.clone(),
            methods: list(methods.iter().map(Method::as_str)),
            headers: match &cors.headers {
                Headers::Any => AllowedHeaders::Any,
                Headers::Named(names) => {
                    AllowedHeaders::Named(list(names.iter().map(HeaderName::as_str)))
                }
            },
            expose: list(cors.expose.iter().map(HeaderName::as_str)),
            credentials: cors.credentials,
            max_age: HeaderValue::from(cors.max_age.as_secs()),
        }
    }

    /// The fields of the answer to a preflight. `None`: the origin may not ask. A method or a field that is not allowed
    /// is not told apart: the browser compares, and tells its user's console which one it was.
    pub fn preflight(&self, asked: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let mut fields = Vec::with_capacity(6);
        self.name_origin(asked.get(ORIGIN)?, &mut fields)?;
        let methods = self.methods.as_ref();
        if let Some(methods) = methods.or(asked.get(ACCESS_CONTROL_REQUEST_METHOD)) {
            fields.push((ACCESS_CONTROL_ALLOW_METHODS, methods.clone()));
        }
        let headers = match &self.headers {
            AllowedHeaders::Any => asked.get(ACCESS_CONTROL_REQUEST_HEADERS),
            AllowedHeaders::Named(names) => names.as_ref(),
        };
        if let Some(headers) = headers {
            fields.push((ACCESS_CONTROL_ALLOW_HEADERS, headers.clone()));
        }
        fields.push((ACCESS_CONTROL_MAX_AGE, self.max_age.clone()));
        Some(fields)
    }

    /// The fields of any other answer; none where the origin may not read it.
    pub fn answer(&self, origin: Option<&HeaderValue>) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::new();
        let named = origin.and_then(|origin| self.name_origin(origin, &mut fields));
        if let (Some(()), Some(expose)) = (named, &self.expose) {
            fields.push((ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
        }
        fields
    }

    /// Whether the answer differs by the origin that asks, which caches must be told even where none asked.
    pub fn varies(&self) -> bool {
        !self.any_origin
    }

    fn name_origin(
        &self,
        origin: &HeaderValue,
        fields: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Option<()> {
        let text = origin.to_str().ok()?;
        if !self.origins.iter().any(|pattern| pattern.matches(text)) {
            return None;
        }
        let named = match self.any_origin {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        fields.push((ACCESS_CONTROL_ALLOW_ORIGIN, named));
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            fields.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, yes));
        }
        Some(())
    }

    /// For `ficus explain`.
    pub fn describe(&self) -> String {
        let origins: Vec<String> = self.origins.iter().map(ToString::to_string).collect();
        let with = if self.credentials {
            ", with credentials"
        } else {
            ""
        };
        format!("pages of {} may read the answer{with}", origins.join(", "))
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return None;
    }
    HeaderValue::try_from(names.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str]) -> Cors {
        let parse = |text: &&str| OriginPattern::parse(text).expect("an origin");
        Cors {
            origins: origins.iter().map(parse).collect(),
            methods: Vec::new(),
            headers: Headers::Named(vec![
                http::header::AUTHORIZATION,
                http::header::CONTENT_TYPE,
            ]),
            expose: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    fn asked(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let value = |(name, value): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        fields.iter().map(value).collect()
    }

    fn reads(rules: &Rules, origin: &'static str) -> Option<String> {
        let fields = rules.answer(Some(&HeaderValue::from_static(origin)));
        let named = fields
            .iter()
            .find(|(name, _)| name == ACCESS_CONTROL_ALLOW_ORIGIN);
        named.map(|(_, value)| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn only_the_very_origins_that_are_named_may_read() {
        let rules = Rules::compile(
            &cors(&[
                "https://app.example.com",
                "https://*.example.org:8443",
                "http://[::1]:3000",
            ]),
            &[],
        );
        for origin in [
            "https://app.example.com",
            "https://a.example.org:8443",
            "http://[::1]:3000",
        ] {
            assert_eq!(reads(&rules, origin).as_deref(), Some(origin));
        }
        for origin in [
            "null",
            "",
            "*",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evil.test/https://app.example.com",
            "https://app.example.com/",
            "https://example.org:8443",
            "https://.example.org:8443",
            "https://a.b.example.org:8443",
            "https://evil.test#.example.org:8443",
            "https://evil.test/.example.org:8443",
            "https://user@a.example.org:8443",
            "https://a.example.org",
            "https://A.example.org:8443",
        ] {
            assert_eq!(reads(&rules, origin), None, "{origin}");
        }
        assert!(rules.varies());
    }

    #[test]
    fn every_origin_is_answered_with_a_star_and_needs_no_vary() {
        let rules = Rules::compile(&cors(&["*"]), &[]);
        assert_eq!(reads(&rules, "https://any.test").as_deref(), Some("*"));
        assert_eq!(reads(&rules, "null").as_deref(), Some("*"));
        assert!(!rules.varies());
    }

    #[test]
    fn an_answer_to_nobodys_origin_has_no_fields() {
        let mut open = cors(&["*"]);
        open.expose = vec![http::header::ETAG];
        assert_eq!(Rules::compile(&open, &[]).answer(None), []);
    }

    #[test]
    fn a_preflight_is_told_what_is_allowed_and_for_how_long() {
        let mut with = cors(&["https://a.test"]);
        (with.credentials, with.expose) = (true, vec![http::header::ETAG]);
        let rules = Rules::compile(&with, &[Method::GET, Method::PUT]);
        let fields = rules.preflight(&asked(&[
            (ORIGIN, "https://a.test"),
            (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "x-evil"),
        ]));
        let told: Vec<String> = fields
            .expect("allowed")
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
            .collect();
        assert_eq!(
            told,
            [
                "access-control-allow-origin: https://a.test",
                "access-control-allow-credentials: true",
                "access-control-allow-methods: GET, PUT",
                "access-control-allow-headers: authorization, content-type",
                "access-control-max-age: 600",
            ]
        );
    }

    #[test]
    fn a_route_of_every_method_and_any_field_says_yes_to_what_is_asked() {
        let mut any = cors(&["*"]);
        any.headers = Headers::Any;
        let fields = Rules::compile(&any, &[]).preflight(&asked(&[
            (ORIGIN, "https://a.test"),
            (ACCESS_CONTROL_REQUEST_METHOD, "PURGE"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-a"),
        ]));
        let fields: HeaderMap = fields.expect("allowed").into_iter().collect();
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_METHODS], "PURGE");
        assert_eq!(fields[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,x-a");
    }

    #[test]
    fn a_preflight_names_an_origin_and_a_method_in_an_options_request() {
        let whole = asked(&[
            (ORIGIN, "https://a.test"),
            (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
        ]);
        assert_eq!(preflight_for(&Method::OPTIONS, &whole), Some(Method::PUT));
        assert_eq!(preflight_for(&Method::GET, &whole), None);
        let no_origin = asked(&[(ACCESS_CONTROL_REQUEST_METHOD, "PUT")]);
        assert_eq!(preflight_for(&Method::OPTIONS, &no_origin), None);
        let no_method = asked(&[(ORIGIN, "https://a.test")]);
        assert_eq!(preflight_for(&Method::OPTIONS, &no_method), None);
        let two = asked(&[
            (ORIGIN, "https://a.test"),
            (ACCESS_CONTROL_REQUEST_METHOD, "A B"),
        ]);
        assert_eq!(preflight_for(&Method::OPTIONS, &two), None);
    }
}
