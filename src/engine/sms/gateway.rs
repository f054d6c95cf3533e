//! The vendors that carry text messages, by the names that legacy's table and its addresses have for them.
//!
//! Its own file, because the name is typed in URLs, rows and requests, and nothing else may be taken for one.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gateway {
    Twilio,
    Vonage,
    Plivo,
    Infobip,
}

impl Gateway {
    pub const ALL: [Self; 4] = [Self::Twilio, Self::Vonage, Self::Plivo, Self::Infobip];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Vonage => "vonage",
            Self::Plivo => "plivo",
            Self::Infobip => "infobip",
        }
    }

    /// `None`: nobody of that name. One spelling each, as legacy compares them.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name() {
        for gateway in Gateway::ALL {
            assert_eq!(Gateway::parse(gateway.as_str()), Some(gateway));
        }
        for other in ["", "Twilio", "nexmo", "twilio "] {
            assert_eq!(Gateway::parse(other), None, "{other:?}");
        }
    }
}
