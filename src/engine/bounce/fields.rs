//! Groups of `Name: value` lines, which delivery reports and complaints are made of.
//!
//! Its own file, because RFC 3464 and RFC 5965 share this grammar, and relays take liberties with it that no mail parser forgives.

/// Lines of one group that are looked at: a report has some ten.
const LINE_LIMIT: usize = 200;

/// The fields between two empty lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Group(Vec<(String, String)>);

impl Group {
    /// The first field of that name, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let (_, value) = fields.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// What stands behind the type of an address or a diagnostic: `rfc822; ann@example.com`.
    pub fn typed(&self, name: &str) -> Option<&str> {
        let value = self.get(name)?;
        let value = value.split_once(';').map_or(value, |(_, value)| value);
        Some(value.trim())
    }
}

/// The groups of `text`, at most `limit` of them. Continued lines are joined; what is no field is skipped.
pub fn groups(text: &str, limit: usize) -> Vec<Group> {
    let (mut groups, mut group) = (Vec::new(), Group::default());
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            if !group.0.is_empty() {
                groups.push(std::mem::take(&mut group));
            }
            if groups.len() == limit {
                break;
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = group.0.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':')
            && group.0.len() < LINE_LIMIT
        {
            let field = (name.trim().to_owned(), value.trim().to_owned());
            group.0.push(field);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_joined_and_grouped() {
        let groups = groups(
            "\nReporting-MTA: dns; mx\r\n\r\nfinal-RECIPIENT: rfc822;  a@x.test\r\nDiagnostic-Code: smtp; 550\r\n\t5.1.1 no\r\nno field\r\n\r\n\r\nA: b",
            9,
        );
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[1].typed("Final-Recipient"), Some("a@x.test"));
        assert_eq!(groups[1].typed("Diagnostic-Code"), Some("550 5.1.1 no"));
        assert_eq!(groups[1].get("Status"), None);
        assert_eq!(groups[2].get("a"), Some("b"));
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        assert_eq!(groups(&"a: b\n\n".repeat(50), 3).len(), 3);
    }
}
