//! A strict reader of OpenMetrics 1.0 text: what its grammar does not allow, it refuses.
//!
//! Its own file, because Prometheus drops a whole scrape for one bad line, and our exemplars are written by hand.

/// One line with a value.
#[derive(Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

#[derive(Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub time: Option<f64>,
}

impl Sample {
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut found = self.labels.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// All samples of an exposition, or the first line that is none.
pub fn read(text: &str) -> Result<Vec<Sample>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    let mut samples = Vec::new();
    let mut kinds = std::collections::BTreeMap::new();
    for line in body.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (word, name) = (words.next(), words.next().unwrap_or_default());
            match (word, words.next()) {
                (Some("TYPE"), Some(kind)) if is_name(name) => {
                    if kinds.insert(name.to_owned(), kind.to_owned()).is_some() {
                        return Err(format!("a second type: {line}"));
                    }
                }
                (Some("HELP" | "UNIT"), Some(_)) if is_name(name) => {}
                _ => return Err(format!("no metadata: {line}")),
            }
            continue;
        }
        let sample = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
        if let Some(exemplar) = &sample.exemplar {
            let size =
                |(name, value): &(String, String)| name.chars().count() + value.chars().count();
            let family = sample.name.strip_suffix("_bucket").unwrap_or_default();
            let bound: Option<f64> = sample.label("le").and_then(|le| le.parse().ok());
            let allowed = kinds.get(family).is_some_and(|kind| kind == "histogram")
                && exemplar.labels.iter().map(size).sum::<usize>() <= 128
                && bound.is_some_and(|bound| exemplar.value <= bound);
            if !allowed {
                return Err(format!("no place for an exemplar: {line}"));
            }
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// `name[{labels}] number [number] [# {labels} number [number]]`, one blank each.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.starts_with('{') {
        true => labels(rest)?,
        false => (Vec::new(), rest),
    };
    let rest = rest.strip_prefix(' ')?;
    let (numbers, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some((numbers, rest)) => {
            let (labels, rest) = self::labels(rest)?;
            let (value, time) = numbers_of(rest.strip_prefix(' ')?)?;
            (
                numbers,
                Some(Exemplar {
                    labels,
                    value,
                    time,
                }),
            )
        }
    };
    let (value, _) = numbers_of(numbers)?;
    is_name(name).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
        exemplar,
    })
}

fn numbers_of(text: &str) -> Option<(f64, Option<f64>)> {
    match text.split_once(' ') {
        None => Some((number(text)?, None)),
        Some((value, time)) => Some((number(value)?, Some(number(time)?))),
    }
}

fn number(text: &str) -> Option<f64> {
    let fits = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
    let plain = !text.is_empty() && text.bytes().all(fits);
    (plain || matches!(text, "+Inf" | "-Inf" | "NaN")).then(|| text.parse().ok())?
}

type Labels = Vec<(String, String)>;

fn labels(text: &str) -> Option<(Labels, &str)> {
    let mut rest = text.strip_prefix('{')?;
    let mut labels: Labels = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        if !labels.is_empty() {
            rest = rest.strip_prefix(',')?;
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        let is_new = labels.iter().all(|(known, _)| known != name);
        if !is_name(name) || name.contains(':') || !is_new {
            return None;
        }
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// Up to the closing quote; `\\`, `\"` and `\n` are the only escapes.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
    text.bytes().all(fits) && text.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

#[test]
fn what_the_grammar_does_not_allow_is_refused() {
    let head = "# TYPE a histogram\n";
    let good = "a_bucket{le=\"1.0\"} 1 # {trace_id=\"0a\"} 0.5 12.040\n";
    let read_one = |line: &str| read(&format!("{head}{line}# EOF\n"));
    let sample = &read_one(good).expect("good")[0];
    let exemplar = sample.exemplar.as_ref().expect("an exemplar");
    assert_eq!((exemplar.value, exemplar.time), (0.5, Some(12.04)));
    for (from, to) in [
        ("a_bucket", "a_count"),
        ("0.5 12", "1.5 12"),
        ("# {", "#{"),
        (" 1 #", " 1  #"),
        ("trace_id=\"0a\"", "trace_id=0a"),
        ("trace_id", "trace-id"),
        ("12.040", "12.040 1"),
        ("12.040", "now"),
        ("0a", &"a".repeat(121)),
        ("} 0.5", "}0.5"),
    ] {
        assert!(good.contains(from));
        assert!(read_one(&good.replace(from, to)).is_err(), "{from} → {to}");
    }
    assert!(read(head).is_err(), "no end");
}
