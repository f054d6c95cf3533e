//! What a server offers, as its reply to EHLO lists it.
//!
//! Its own file, because each keyword is a server's word that decides what may be written to it.

use super::auth::Mechanism;

/// Empty, as after HELO, nothing is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 6152.
    pub eight_bit: bool,
    /// RFC 6531.
    pub international: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 1870: SIZE is offered; more octets than the number are refused, if there is one.
    pub size: Option<Option<u64>>,
    /// RFC 4954, as far as we speak them.
    pub mechanisms: Vec<Mechanism>,
    /// AUTH is offered, be it with mechanisms of which we speak none.
    pub auth: bool,
}

impl Capabilities {
    /// Of the text of the reply; its first line is the server's name. A keyword that is not known is passed over.
    pub fn of(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().skip(1) {
            // "AUTH=LOGIN" is how servers before RFC 2554 wrote it, and some still send both.
            let mut words = line.split([' ', '=', '\t']).filter(|it| !it.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => found.pipelining = true,
                "CHUNKING" => found.chunking = true,
                "8BITMIME" => found.eight_bit = true,
                "SMTPUTF8" => found.international = true,
                "DSN" => found.dsn = true,
                "STARTTLS" => found.starttls = true,
                "SIZE" => {
                    let limit = words.next().and_then(|it| it.parse().ok());
                    found.size = Some(limit.filter(|it| *it > 0));
                }
                "AUTH" => {
                    found.auth = true;
                    for mechanism in words.filter_map(Mechanism::named) {
                        if !found.mechanisms.contains(&mechanism) {
                            found.mechanisms.push(mechanism);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_is_found_in_any_case_and_the_rest_passed_over() {
        let found = Capabilities::of(
            "mx.example.com STARTTLS\npipelining\nSIZE 10240000\nVRFY\nETRN\nAUTH=LOGIN PLAIN\nAUTH PLAIN LOGIN GSSAPI CRAM-MD5 XOAUTH2\n8BITMIME\nDSN\nSMTPUTF8\nCHUNKING",
        );
        let expected = Capabilities {
            pipelining: true,
            chunking: true,
            eight_bit: true,
            international: true,
            dsn: true,
            // The server's name is no keyword.
            starttls: false,
            size: Some(Some(10_240_000)),
            mechanisms: vec![
                Mechanism::Login,
                Mechanism::Plain,
                Mechanism::CramMd5,
                Mechanism::Xoauth2,
            ],
            auth: true,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_size_of_zero_or_of_nonsense_is_no_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE lots"] {
            let found = Capabilities::of(&format!("x\n{line}"));
            assert_eq!(found.size, Some(None), "{line}");
        }
        assert_eq!(Capabilities::of("x\nSTARTTLS").size, None);
        assert!(Capabilities::of("x\nSTARTTLS").starttls);
        let foreign = Capabilities::of("x\nAUTH GSSAPI NTLM");
        assert!(foreign.auth && foreign.mechanisms.is_empty());
    }
}
