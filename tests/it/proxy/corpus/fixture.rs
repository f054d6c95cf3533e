//! The corpus as it stands in `tests/fixtures/requests/`: what each case sends, and what must come of it.
//!
//! Its own file, because the format is read by people first: `README.md` beside the cases explains it.

use super::grammar::{self, Request, Step};
use crate::support::project;

/// One request, or what pretends to be one.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// The RFC and section that decide.
    pub source: String,
    pub expected: Expected,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct Expected {
    pub verdict: Verdict,
    /// Whether the connection ends with it. `None`: as the proxy likes.
    pub close: Option<bool>,
    /// The client ends its sending after the bytes.
    pub half: bool,
    /// How many requests stand in the bytes, for who reads them rightly.
    pub requests: usize,
    sees: Option<String>,
    body: Option<Vec<u8>>,
    pub has: Vec<(String, String)>,
    pub lacks: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// With one of these statuses, and nobody is asked.
    Refuse(Vec<u16>),
    /// Nobody is asked, and the connection ends, with or without a word.
    Drop,
    /// The origin gets exactly this.
    Accept,
    /// One of the two.
    #[default]
    Either,
}

impl Case {
    /// One that stands in no file: refused or accepted, as long as it does no harm.
    pub fn made(name: String, bytes: Vec<u8>) -> Self {
        let expected = expectation("either");
        Self {
            name,
            source: "ficus".to_owned(),
            expected,
            bytes,
        }
    }

    /// What is sent by who calls itself `mark`.
    pub fn bytes(&self, mark: &str) -> Vec<u8> {
        replace(&self.bytes, b"{id}", mark.as_bytes())
    }

    /// Method, target, body and fields as the origin should see them; no fields where the bytes are not in the strict form.
    pub fn seen(&self, mark: &str) -> Request {
        let bytes = self.bytes(mark);
        let mut request = match grammar::read(&bytes) {
            Ok(Step::Whole(request, _)) => request,
            _ => Request {
                method: String::new(),
                target: String::new(),
                fields: Vec::new(),
                body: Vec::new(),
                is_old: false,
            },
        };
        if let Some(sees) = &self.expected.sees {
            let sees = sees.replace("{id}", mark);
            let (method, target) = sees.split_once(' ').expect("a method and a target");
            request.method = method.to_owned();
            request.target = target.to_owned();
        }
        if let Some(body) = &self.expected.body {
            request.body = replace(body, b"{id}", mark.as_bytes());
        }
        request
    }

    /// An answer to HEAD has no body, whatever its fields say.
    pub fn asks_for_head(&self) -> bool {
        self.bytes.trim_ascii_start().starts_with(b"HEAD ")
    }

    fn check(&self) {
        let name = &self.name;
        if self.expected.verdict != Verdict::Accept {
            return;
        }
        assert!(
            self.expected.sees.is_some() || !self.seen("q0000a").method.is_empty(),
            "{name} is accepted and not in the strict form: say what the origin sees"
        );
        assert!(
            replace(&self.bytes, b"{id}", b"") != self.bytes,
            "{name} has no {{id}} by which it is known again"
        );
    }
}

/// Every case of the folder, in the order of the files and in them.
pub fn all() -> Vec<Case> {
    let folder = project().join("tests/fixtures/requests");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the corpus")
        .map(|entry| entry.expect("a file of the corpus").path())
        .filter(|path| path.extension().is_some_and(|e| e == "http"))
        .collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a file of the corpus is text");
        let stem = path.file_stem().expect("a name").to_string_lossy();
        cases.extend(parse(&stem, &text));
    }
    for case in &cases {
        case.check();
        let same = cases.iter().filter(|other| other.name == case.name).count();
        assert_eq!(same, 1, "two cases are called {}", case.name);
    }
    cases
}

fn parse(stem: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(bytes) = line.strip_prefix("    ") {
            let case = cases.last_mut().expect("a case begins with its name");
            case.bytes.extend(unescape(bytes));
            continue;
        }
        let parts: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
        let [name, source, expected] = parts[..] else {
            panic!("{stem}: not NAME | RFC | EXPECTED: {line}");
        };
        cases.push(Case {
            name: format!("{stem}/{name}"),
            source: source.to_owned(),
            expected: expectation(expected),
            bytes: Vec::new(),
        });
    }
    cases
}

fn expectation(text: &str) -> Expected {
    let mut clauses = text.split(';').map(str::trim);
    let verdict = clauses.next().unwrap_or_default();
    let mut expected = Expected {
        requests: 1,
        ..Expected::default()
    };
    (expected.verdict, expected.close) = match verdict.split_once(' ').unwrap_or((verdict, "")) {
        ("refuse", statuses) => {
            let statuses = statuses.split('/').map(|s| s.parse().expect("a status"));
            (Verdict::Refuse(statuses.collect()), Some(true))
        }
        ("drop", "") => (Verdict::Drop, Some(true)),
        ("accept", "") => (Verdict::Accept, None),
        ("either", "") => (Verdict::Either, None),
        _ => panic!("neither refuse, drop, accept nor either: {text}"),
    };
    for clause in clauses {
        let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        match word {
            "close" => expected.close = Some(true),
            "keep" => expected.close = Some(false),
            "open" => expected.close = None,
            "half" => expected.half = true,
            "requests" => expected.requests = rest.parse().expect("a number"),
            "sees" => expected.sees = Some(rest.to_owned()),
            "body" => expected.body = Some(unescape(rest)),
            "has" => {
                let (name, value) = rest.split_once(':').expect("a field");
                expected
                    .has
                    .push((name.to_owned(), value.trim().to_owned()));
            }
            "lacks" => expected.lacks.push(rest.to_owned()),
            _ => panic!("not a clause: {clause}"),
        }
    }
    expected
}

/// `¶` is CRLF; `\r \n \t \0 \\ \s \xHH` are bytes; `{9000*ab}` is `ab` 9,000 times.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        rest = match c {
            '¶' => {
                bytes.extend(b"\r\n");
                tail
            }
            '\\' => escape(tail, &mut bytes),
            '{' => match repetition(tail) {
                Some((times, what, tail)) => {
                    bytes.extend(unescape(what).repeat(times));
                    tail
                }
                None => {
                    bytes.push(b'{');
                    tail
                }
            },
            _ => {
                bytes.extend(rest[..c.len_utf8()].bytes());
                tail
            }
        };
    }
    bytes
}

fn escape<'a>(tail: &'a str, bytes: &mut Vec<u8>) -> &'a str {
    let byte = match tail.as_bytes().first() {
        Some(b'r') => b'\r',
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b's') => b' ',
        Some(b'0') => 0,
        Some(b'\\') => b'\\',
        Some(b'x') => {
            bytes.push(u8::from_str_radix(&tail[1..3], 16).expect("two hex digits"));
            return &tail[3..];
        }
        _ => panic!("not an escape: \\{tail}"),
    };
    bytes.push(byte);
    &tail[1..]
}

fn repetition(tail: &str) -> Option<(usize, &str, &str)> {
    let (inner, tail) = tail.split_once('}')?;
    let (times, what) = inner.split_once('*')?;
    Some((times.parse().ok()?, what, tail))
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|w| w == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::{all, parse};

    #[test]
    fn the_corpus_is_large_and_each_case_names_its_rfc() {
        let cases = all();
        assert!(cases.len() >= 400, "{} cases", cases.len());
        for case in cases {
            let named = case.source.starts_with("9110 ") || case.source.starts_with("9112 ");
            let known =
                named || case.source.starts_with("3986 ") || case.source.starts_with("ficus ");
            assert!(known, "{}: {}", case.name, case.source);
        }
    }

    #[test]
    fn escapes_say_every_byte() {
        let text = "a | 9112 1 | accept; sees GET /{id}\n    GET /{id}{3*ab}¶\n    \\r\\n\\t\\0\\xff\\\\{x}\n";
        let cases = parse("file", text);
        assert_eq!(cases[0].name, "file/a");
        assert_eq!(cases[0].bytes("me"), b"GET /meababab\r\n\r\n\t\0\xff\\{x}");
        assert_eq!(cases[0].seen("me").target, "/me");
    }
}
