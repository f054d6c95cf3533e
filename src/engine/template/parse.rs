//! Takes a template's source apart: literal text, and `{name}` where a recipient's value goes.
//!
//! Its own file, because the syntax is a contract with every template that customers have stored.
//!
//! It is legacy's: one brace, a name, one brace. Braces are common in mail for other reasons (style sheets, JSON-LD), and
//! legacy leaves those alone, so we do. What looks like a placeholder of some other language (`{{name}}`, `{ name }`,
//! `{Name}`, `{first-name}`, `{user.name}`) is a fault here: legacy mails it to everybody as it stands.

use std::fmt;
use std::ops::Range;

/// Bytes of a variable's name.
pub const NAME_LIMIT: usize = 64;
/// Different variables in one template: more than any import has columns, and few enough to be looked through.
pub const VARIABLE_LIMIT: usize = 200;
/// Places in one template where something is put in. Each is a look-up for each recipient.
pub const PLACE_LIMIT: usize = 10_000;

/// A part of a template, in the order of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of the source.
    Literal(Range<usize>),
    /// An index into the names.
    Variable(usize),
}

/// What keeps a template from being compiled, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {flaw}")]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// Characters into the line, from 1.
    pub column: usize,
    pub flaw: Flaw,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// `{{`: another language's placeholder.
    DoubleBrace,
    /// A word in braces that is no variable's name.
    Name(String),
    NameTooLong,
    TooManyVariables,
    TooManyPlaces,
    TooLong {
        limit: usize,
    },
    /// A line break or another control character where a header will stand.
    Control,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubleBrace => f.write_str("\"{{\" is not read here: write a variable as {name}"),
            Self::Name(word) => write!(
                f,
                "{{{word}}} is no variable: expected lower-case letters, digits and '_' between the braces, without spaces"
            ),
            Self::NameTooLong => write!(f, "a variable's name has at most {NAME_LIMIT} bytes"),
            Self::TooManyVariables => {
                write!(f, "a template has at most {VARIABLE_LIMIT} variables")
            }
            Self::TooManyPlaces => {
                write!(
                    f,
                    "a template has at most {PLACE_LIMIT} places for variables"
                )
            }
            Self::TooLong { limit } => write!(f, "the template is longer than {limit} bytes"),
            Self::Control => f.write_str("a subject has no line breaks and no control characters"),
        }
    }
}

/// The pieces of `source`, and the names of its variables in the order of their first place.
pub fn parse(source: &str) -> Result<(Vec<Piece>, Vec<String>), Fault> {
    let (mut pieces, mut names) = (Vec::new(), Vec::<String>::new());
    let (mut literal, mut places) = (0, 0);
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'{', &source.as_bytes()[from..]) {
        let open = from + found;
        let fault = |flaw| Err(at(source, open, flaw));
        let after = &source[open + 1..];
        if after.starts_with('{') {
            return fault(Flaw::DoubleBrace);
        }
        let Some(word) = word(after) else {
            from = open + 1;
            continue;
        };
        if !is_name(word) {
            return fault(Flaw::Name(word.chars().take(NAME_LIMIT).collect()));
        }
        if word.len() > NAME_LIMIT {
            return fault(Flaw::NameTooLong);
        }
        places += 1;
        if places > PLACE_LIMIT {
            return fault(Flaw::TooManyPlaces);
        }
        if literal < open {
            pieces.push(Piece::Literal(literal..open));
        }
        let index = match names.iter().position(|name| name == word) {
            Some(index) => index,
            None if names.len() == VARIABLE_LIMIT => return fault(Flaw::TooManyVariables),
            None => {
                names.push(word.to_owned());
                names.len() - 1
            }
        };
        pieces.push(Piece::Variable(index));
        from = open + 1 + word.len() + 1;
        literal = from;
    }
    if literal < source.len() {
        pieces.push(Piece::Literal(literal..source.len()));
    }
    Ok((pieces, names))
}

/// A name: `a-z` first, then `a-z 0-9 _`.
pub fn is_name(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    word.bytes().all(fits) && word.starts_with(|c: char| c.is_ascii_lowercase())
}

/// What stands up to the closing brace, where it is one word of the kind that placeholders are. A rule of a style sheet has
/// a colon, JSON has quotes, an empty pair of braces has nothing.
fn word(after: &str) -> Option<&str> {
    // Four times the limit, so that a name that is too long is told from a text that is no name.
    let window = &after.as_bytes()[..after.len().min(NAME_LIMIT * 4)];
    let end = window
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || b"_-. |$".contains(b)))?;
    let word = &after[..end];
    let is_closed = window[end] == b'}';
    (is_closed && word.bytes().any(|b| b.is_ascii_alphanumeric())).then_some(word)
}

/// `flaw` at the byte `offset` of `source`, which is where a character begins.
pub fn at(source: &str, offset: usize, flaw: Flaw) -> Fault {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Fault {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        flaw,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(source: &str) -> Vec<String> {
        parse(source).unwrap().1
    }

    fn flaw(source: &str) -> Flaw {
        parse(source).unwrap_err().flaw
    }

    #[test]
    fn legacys_variables_are_read() {
        let (pieces, names) =
            parse("<p>Dear {name},</p><a href=\"{click_url}\">{name}</a>").unwrap();
        assert_eq!(names, ["name", "click_url"]);
        assert_eq!(
            pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Variable(_)))
                .count(),
            3
        );
    }

    #[test]
    fn braces_that_are_no_placeholders_stay_as_they_are() {
        for source in [
            "p{color:red}",
            "@media print{p{margin:0}a{}}",
            "a{ }",
            r#"{"@type":"EmailMessage"}"#,
            "{\n  color: red;\n}",
            "a { b",
            "{",
            "}",
            "{name",
            "{é}",
            "{-}",
        ] {
            assert_eq!(parse(source).unwrap().1, Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn another_languages_placeholders_are_faults() {
        assert_eq!(flaw("Hi {{name}}"), Flaw::DoubleBrace);
        for word in [
            " name ",
            "Name",
            "first-name",
            "user.name",
            "name|upper",
            "1st",
            "$name",
        ] {
            assert_eq!(flaw(&format!("Hi {{{word}}}")), Flaw::Name(word.to_owned()));
        }
    }

    #[test]
    fn a_fault_says_its_line_and_column() {
        let fault = parse("first\nzweité {Name}").unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 8));
        assert!(
            fault.to_string().starts_with("line 2, column 8: {Name}"),
            "{fault}"
        );
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(names(&format!("{{{}}}", "a".repeat(NAME_LIMIT))).len(), 1);
        assert_eq!(
            flaw(&format!("{{{}}}", "a".repeat(NAME_LIMIT + 1))),
            Flaw::NameTooLong
        );
        let many = |count: usize| (0..count).map(|i| format!("{{v{i}}}")).collect::<String>();
        assert_eq!(names(&many(VARIABLE_LIMIT)).len(), VARIABLE_LIMIT);
        assert_eq!(flaw(&many(VARIABLE_LIMIT + 1)), Flaw::TooManyVariables);
        assert_eq!(flaw(&"{a}".repeat(PLACE_LIMIT + 1)), Flaw::TooManyPlaces);
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_source(source in "[a-z{}_ :\"é\n]{0,60}") {
            if let Ok((pieces, names)) = parse(&source) {
                let again: String = pieces.iter().map(|piece| match piece {
                    Piece::Literal(range) => source[range.clone()].to_owned(),
                    Piece::Variable(index) => format!("{{{}}}", names[*index]),
                }).collect();
                prop_assert_eq!(again, source);
            }
        }
    }
}
