//! Reads a file of tenants: CSV with the header `id,slug,name,class`.
//!
//! Its own file, because it is pure, and because every faulty line is to be told at once, with its number.

use std::collections::BTreeSet;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::rollout::{Class, NewTenant, check_rows};

const HEADER: [&str; 4] = ["id", "slug", "name", "class"];
/// Faults that are told; a file of the wrong kind has as many as lines.
const MAX_FAULTS: usize = 100;

#[derive(Debug, PartialEq, Eq)]
pub struct LineFault {
    /// As an editor counts.
    pub line: u64,
    pub fault: String,
}

/// The tenants, or every line that is wrong.
pub fn parse(text: &[u8]) -> Result<Vec<NewTenant>, Vec<LineFault>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .flexible(true)
        .from_reader(text);
    let header = reader.headers().map(|header| {
        header
            .iter()
            .map(str::to_ascii_lowercase)
            .collect::<Vec<_>>()
    });
    if !header.as_ref().is_ok_and(|header| header == &HEADER) {
        let fault = format!("expected the header {}", HEADER.join(","));
        return Err(vec![LineFault { line: 1, fault }]);
    }
    let (mut tenants, mut lines, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let line = match &record {
            Ok(record) => record.position().map_or(0, |at| line_at(text, at)),
            Err(fault) => fault.position().map_or(0, |at| line_at(text, at)),
        };
        match record
            .map_err(|_| "the line is no UTF-8".to_owned())
            .and_then(|record| tenant(&record))
        {
            Ok(tenant) => {
                tenants.push(tenant);
                lines.push(line);
            }
            Err(fault) => faults.push(LineFault { line, fault }),
        }
    }
    // What the server would find, found here while the line is known.
    let by_rows = check_rows(&tenants).into_iter();
    faults.extend(by_rows.map(|it| LineFault {
        line: lines.get(it.row - 1).copied().unwrap_or(0),
        fault: it.fault,
    }));
    faults.sort_by_key(|fault| fault.line);
    if faults.is_empty() {
        Ok(tenants)
    } else {
        Err(shorten(faults))
    }
}

fn tenant(record: &StringRecord) -> Result<NewTenant, String> {
    if record.len() != HEADER.len() {
        return Err(format!(
            "expected {} fields, found {}",
            HEADER.len(),
            record.len()
        ));
    }
    let id = record[0].parse().map_err(|_| {
        format!(
            "{:?} is no tenant id: expected a positive number",
            &record[0]
        )
    })?;
    let slug = Some(record[1].to_owned()).filter(|slug| !slug.is_empty());
    Ok(NewTenant {
        id,
        slug,
        name: record[2].to_owned(),
        class: class(&record[3])?,
    })
}

/// The line on which a record's first field stands: the reader counts it from the blank lines before.
fn line_at(text: &[u8], at: &csv::Position) -> u64 {
    let rest = usize::try_from(at.byte())
        .ok()
        .and_then(|byte| text.get(byte..))
        .unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    at.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

fn class(text: &str) -> Result<Option<Class>, String> {
    match text {
        "" => Ok(None),
        "internal" => Ok(Some(Class::Internal)),
        "low" => Ok(Some(Class::Low)),
        "medium" => Ok(Some(Class::Medium)),
        "high" => Ok(Some(Class::High)),
        _ => Err(format!(
            "{text:?} is no class: expected internal, low, medium or high"
        )),
    }
}

fn shorten(mut faults: Vec<LineFault>) -> Vec<LineFault> {
    let lines: BTreeSet<u64> = faults.iter().map(|fault| fault.line).collect();
    if faults.len() > MAX_FAULTS {
        faults.truncate(MAX_FAULTS);
        let line = faults.last().map_or(0, |fault| fault.line);
        faults.push(LineFault {
            line,
            fault: format!("and so on: {} faulty lines in all", lines.len()),
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_may_hold_commas_and_an_empty_class_is_left_alone() {
        let tenants =
            parse(b"\xef\xbb\xbfID,slug,name,class\r\n2,acme,\"Acme, Inc.\",high\r\n3,,Beta,\r\n")
                .unwrap();
        assert_eq!(tenants[0].name, "Acme, Inc.");
        assert_eq!(tenants[0].class, Some(Class::High));
        assert_eq!((tenants[1].slug.as_deref(), tenants[1].class), (None, None));
    }

    #[test]
    fn every_faulty_line_is_told_with_its_number() {
        let file =
            b"id,slug,name,class\n1,a,,low\nx,b,,low\n3,c,,huge\n\n4,A b,,low\n1,d,,\n5,e,low\n";
        let lines: Vec<u64> = parse(file)
            .unwrap_err()
            .iter()
            .map(|fault| fault.line)
            .collect();
        assert_eq!(lines, [3, 4, 6, 7, 8]);
    }

    #[test]
    fn another_header_is_refused() {
        assert_eq!(parse(b"id;slug\n1;a\n").unwrap_err()[0].line, 1);
        assert_eq!(
            parse(b"").unwrap_err()[0].fault,
            "expected the header id,slug,name,class"
        );
    }

    #[test]
    fn a_file_of_the_wrong_kind_does_not_flood_the_terminal() {
        let file = format!("id,slug,name,class\n{}", "x\n".repeat(5000));
        let faults = parse(file.as_bytes()).unwrap_err();
        assert_eq!(faults.len(), MAX_FAULTS + 1);
        assert_eq!(
            faults[MAX_FAULTS].fault,
            "and so on: 5000 faulty lines in all"
        );
    }
}
