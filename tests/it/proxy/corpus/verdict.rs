//! What came of a case, judged from both ends of the proxy.
//!
//! Pure, and its own file, because this is where a proxy is called unsafe.

use std::collections::BTreeMap;

use super::fixture::{Case, Verdict as Wanted};
use super::grammar::Request;
use super::origin::{Event, first_mark, mark_of};
use super::replay::{Mode, Seen};

/// From good to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    Pass,
    /// Safe, and not as it should be: another status, a connection left open, a field changed.
    Warn,
    /// Refused what is right, or sent on what is wrong.
    Fail,
    /// Neither answered nor closed.
    Hang,
    /// The origin refused what was sent on.
    Leak,
    /// The proxy and the origin count differently, or an answer went to somebody else.
    Desync,
}

pub const GRADES: [Grade; 6] = [
    Grade::Pass,
    Grade::Warn,
    Grade::Fail,
    Grade::Desync,
    Grade::Hang,
    Grade::Leak,
];

/// What the origin remembers of one mark.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    pub asked: Vec<Request>,
    /// What it refused, or found behind a request.
    leaks: Vec<String>,
    desyncs: Vec<String>,
}

impl Remembered {
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty() && self.desyncs.is_empty()
    }

    pub fn told(&self) -> String {
        let asked: Vec<String> = self.asked.iter().map(told).collect();
        format!("{asked:?} {:?} {:?}", self.leaks, self.desyncs)
    }
}

/// The origin's memory by whom it concerns; under the empty mark what concerns nobody.
pub fn by_mark(events: Vec<Event>) -> BTreeMap<String, Remembered> {
    let mut marks: BTreeMap<String, Remembered> = BTreeMap::new();
    let mut ids: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for event in events {
        match event {
            Event::Asked(request) => {
                let mark = mark_of(&request).unwrap_or_default();
                let mut faults = Vec::new();
                // The proxy gives each request that it sends an id. What has none, or another's, it did not send.
                match request.all("x-request-id")[..] {
                    [id] => {
                        let times = ids.entry(id.to_vec()).or_default();
                        *times += 1;
                        if *times > 1 {
                            faults.push("a request with another's id".to_owned());
                        }
                    }
                    _ => faults.push("a request that the proxy did not send".to_owned()),
                }
                let remembered = marks.entry(mark).or_default();
                remembered.desyncs.extend(faults);
                remembered.asked.push(request);
            }
            Event::Refused(why, bytes) => {
                let leak = format!("{why}: {}", shown(&bytes));
                let mark = first_mark(&bytes).unwrap_or_default();
                marks.entry(mark).or_default().leaks.push(leak);
            }
            Event::Behind(bytes) => {
                let desync = format!("bytes behind a request: {}", shown(&bytes));
                let mark = first_mark(&bytes).unwrap_or_default();
                marks.entry(mark).or_default().desyncs.push(desync);
            }
        }
    }
    marks
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    text.replace("\\r\\n", "¶")
}

/// The grade of a case, and why it is no better.
pub fn judge(
    case: &Case,
    number: usize,
    mode: Mode,
    seen: &Seen,
    memory: &BTreeMap<String, Remembered>,
) -> (Grade, String) {
    let (mark, next) = (mode.mark(number), mode.next_mark(number));
    let nothing = Remembered::default();
    let origin = memory.get(&mark).unwrap_or(&nothing);
    let origin_next = memory.get(&next).unwrap_or(&nothing);
    // What is cut goes on with whatever is glued to it, and may become right.
    let is_whole = mode == Mode::Alone || !case.expected.half;
    let refused = is_whole && matches!(case.expected.verdict, Wanted::Refuse(_) | Wanted::Drop);
    let mut faults: Vec<(Grade, String)> = Vec::new();
    let mut fault = |grade, why: String| faults.push((grade, why));

    for why in origin.desyncs.iter().chain(&origin_next.desyncs) {
        fault(Grade::Desync, why.clone());
    }
    // With ids of the proxy's own: it read what was no request as one, and the origin reads as it does.
    if let Some(more) = origin.asked.get(case.expected.requests) {
        fault(Grade::Fail, format!("sent on, too: {}", told(more)));
    }
    for why in origin.leaks.iter().chain(&origin_next.leaks) {
        fault(Grade::Leak, why.clone());
    }
    // Answers come in the order of the requests: the case's, then the next one's.
    let marks: Vec<&str> = seen
        .answers
        .iter()
        .filter_map(|a| a.mark.as_deref())
        .collect();
    let own = marks.iter().take_while(|m| **m == mark).count();
    let others = &marks[own..];
    if !(others.is_empty() || *others == [next.as_str()]) {
        fault(
            Grade::Desync,
            format!("the client got the answers of {marks:?}"),
        );
    }
    for answer in seen
        .answers
        .iter()
        .filter(|a| a.mark.as_ref().is_some_and(|m| *m == next))
    {
        if answer.body != next.as_bytes() {
            fault(
                Grade::Desync,
                "the next answer's body is another's".to_owned(),
            );
        }
    }
    if seen.hangs {
        fault(Grade::Hang, "neither answered nor closed".to_owned());
    }
    if refused && !origin.asked.is_empty() {
        fault(
            Grade::Fail,
            format!("sent on as {}", told(&origin.asked[0])),
        );
    }
    if is_whole && case.expected.close == Some(true) && !origin_next.asked.is_empty() {
        fault(Grade::Warn, "the connection went on".to_owned());
    }
    if mode == Mode::Alone {
        for (grade, why) in judge_alone(case, &mark, seen, origin) {
            fault(grade, why);
        }
    }
    faults.sort();
    faults.pop().unwrap_or((Grade::Pass, String::new()))
}

/// What only shows where nothing follows: the answer's status, the request as the origin saw it, the connection's end.
fn judge_alone(case: &Case, mark: &str, seen: &Seen, origin: &Remembered) -> Vec<(Grade, String)> {
    let mut faults = Vec::new();
    let mut fault = |grade, why: String| faults.push((grade, why));
    let first = seen.answers.first().filter(|_| seen.before_next > 0);
    let status = first.map(|answer| answer.status);
    let is_error = status.is_some_and(|s| (400..600).contains(&s));
    match &case.expected.verdict {
        Wanted::Refuse(statuses) => match status {
            Some(status) if statuses.contains(&status) => {}
            Some(status) if is_error => fault(Grade::Warn, format!("refused with {status}")),
            Some(status) => fault(Grade::Fail, format!("answered with {status}")),
            None if seen.hangs => {}
            None => fault(Grade::Warn, "closed without an answer".to_owned()),
        },
        Wanted::Drop if status == Some(200) => fault(Grade::Fail, "answered".to_owned()),
        Wanted::Accept if origin.asked.is_empty() => {
            fault(Grade::Fail, format!("not sent on: {status:?}"));
        }
        Wanted::Either if origin.asked.is_empty() && !is_error && !seen.hangs => {
            fault(
                Grade::Warn,
                format!("neither sent on nor refused: {status:?}"),
            );
        }
        _ => {}
    }
    let refuse = matches!(case.expected.verdict, Wanted::Refuse(_) | Wanted::Drop);
    if let Some(asked) = origin.asked.first().filter(|_| !refuse) {
        if status != Some(200) {
            fault(Grade::Fail, format!("sent on and answered with {status:?}"));
        }
        faults.extend(compare(case, mark, asked));
    }
    if case.expected.close == Some(false) && !seen.hangs && seen.answers.len() <= seen.before_next {
        faults.push((Grade::Warn, "the connection was closed".to_owned()));
    }
    faults
}

/// Fields that a proxy sets, takes or changes by its office.
const OFFICE: [&str; 18] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "http2-settings",
    "expect",
    "host",
    "x-request-id",
    "traceparent",
    "tracestate",
    "via",
    "forwarded",
    "proxy-authorization",
    "proxy-authenticate",
];

/// What the origin got beside what it should have got.
fn compare(case: &Case, mark: &str, got: &Request) -> Vec<(Grade, String)> {
    let wanted = case.seen(mark);
    let mut faults = Vec::new();
    if !wanted.method.is_empty() {
        if (&got.method, &got.target) != (&wanted.method, &wanted.target) {
            faults.push((Grade::Fail, format!("sent on as {}", told(got))));
        }
        if got.body != wanted.body {
            faults.push((Grade::Fail, format!("the body became {}", shown(&got.body))));
        }
    }
    for (name, _) in &wanted.fields {
        let name = name.to_ascii_lowercase();
        let reserved =
            name.starts_with("x-f") || name.starts_with("x-tenant") || name.starts_with("x-user");
        let lacks = case.expected.lacks.contains(&name);
        if OFFICE.contains(&&*name) || reserved || lacks || name.contains('_') {
            continue;
        }
        if got.all(&name) != wanted.all(&name) {
            faults.push((Grade::Warn, format!("{name} did not arrive as it was")));
        }
    }
    for (name, value) in &case.expected.has {
        let value = value.replace("{id}", mark);
        if got.all(name) != [value.as_bytes()] {
            faults.push((Grade::Warn, format!("{name} is not {value}")));
        }
    }
    for name in &case.expected.lacks {
        if !got.all(name).is_empty() {
            faults.push((Grade::Fail, format!("{name} got through")));
        }
    }
    faults
}

fn told(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}
