//! A recipient as lists and logs may have it: enough to know it again, and not to write to it.
//!
//! Its own file, and pure: a recipient is personal data, and this is the one place that decides how much of it is shown.

/// The first letter and the domain of an address, the last two digits of a number.
pub fn mask(channel: &str, recipient: &str) -> String {
    if channel == "sms" {
        let last = recipient.char_indices().rev().nth(1).map_or(0, |it| it.0);
        return match recipient.chars().count() {
            // Of a short one the last digits would be most of it.
            0..6 => "***".to_owned(),
            _ => format!("***{}", &recipient[last..]),
        };
    }
    // The last one: what stands before it may have others, in quotes.
    let (local, domain) = match recipient.rsplit_once('@') {
        Some((local, domain)) => (local, format!("@{domain}")),
        None => (recipient, String::new()),
    };
    let first: String = local.chars().take(1).collect();
    format!("{first}***{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_first_letter_and_the_domain_are_left() {
        for (recipient, shown) in [
            ("reader@example.test", "r***@example.test"),
            ("\"a@b\"@example.test", "\"***@example.test"),
            ("élodie@example.test", "é***@example.test"),
            ("@example.test", "***@example.test"),
            ("no address", "n***"),
            ("", "***"),
        ] {
            assert_eq!(mask("email", recipient), shown);
        }
    }

    #[test]
    fn of_a_number_the_last_two_digits_are_left() {
        for (recipient, shown) in [
            ("+4915112345678", "***78"),
            ("12345", "***"),
            ("", "***"),
            ("+49é", "***"),
        ] {
            assert_eq!(mask("sms", recipient), shown);
        }
    }
}
