//! A split: the share of a capability's traffic that modern serves.
//!
//! Pure, and its own file, because its promise is arithmetic: whoever is in a share is in every larger one, so that
//! raising it drops nobody and lowering it moves back only those above.

use serde::{Deserialize, Serialize};

use super::bucket::{BUCKETS, bucket};

/// What the hash is made of beside capability and key: fixed for ever, since another value would move everybody.
const VERSION: &str = "f1";
const SALT: &str = "split";

/// What a split keeps together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sticky {
    Tenant,
    User,
    Session,
}

/// A capability's split as proxies hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    pub by: Sticky,
    /// Keys in buckets below this are modern's; 0 to 1,000,000.
    pub share: u32,
}

/// A percentage in steps of a hundredth, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Sticky {
    pub const WORDS: [(&str, Self); 3] = [
        ("tenant", Self::Tenant),
        ("user", Self::User),
        ("session", Self::Session),
    ];

    pub fn parse(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words.find(|(it, _)| *it == word).map(|(_, sticky)| *sticky)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Session => "session",
        }
    }
}

impl Split {
    /// Of a row: the percentage in hundredths. `None`: it is none.
    pub fn of_hundredths(by: Sticky, hundredths: i32) -> Option<Self> {
        let hundredths = u32::try_from(hundredths).ok().filter(|it| *it <= 10_000)?;
        Some(Self {
            by,
            share: hundredths * (BUCKETS / 10_000),
        })
    }

    /// Whether the key is in the share.
    pub fn takes(self, capability: &str, key: &str) -> bool {
        // Neither end costs a hash.
        self.share == BUCKETS
            || self.share > 0 && bucket(VERSION, SALT, capability, key) < self.share
    }

    /// The share as people write it.
    pub fn percent(self) -> Percent {
        Percent((self.share / (BUCKETS / 10_000)) as u16)
    }
}

/// The bucket of a key, for `ficus explain`.
pub fn bucket_of(capability: &str, key: &str) -> u32 {
    bucket(VERSION, SALT, capability, key)
}

impl Percent {
    /// Reads `25`, `0.05` or `12.5%`. The error says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "{text:?} is no share: expected 0 to 100 with two decimals at most, such as 25 or 0.05"
            )
        };
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
            return Err(fault());
        }
        let whole: u32 = whole.parse().map_err(|_| fault())?;
        let hundredths: u32 = format!("{decimals:0<2}").parse().map_err(|_| fault())?;
        match u16::try_from(whole * 100 + hundredths) {
            Ok(all) if all <= 10_000 => Ok(Self(all)),
            _ => Err(fault()),
        }
    }

    pub fn hundredths(self) -> i32 {
        i32::from(self.0)
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{}", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(hundredths: i32) -> Split {
        Split::of_hundredths(Sticky::Tenant, hundredths).expect("a share")
    }

    proptest! {
        #[test]
        fn raising_a_share_drops_nobody_and_lowering_it_takes_only_those_above(
            key in "[a-z0-9]{1,20}", one in 0i32..=10_000, other in 0i32..=10_000,
        ) {
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(!split(low).takes("dashboard", &key) || split(high).takes("dashboard", &key));
            let moved = split(high).takes("dashboard", &key) != split(low).takes("dashboard", &key);
            let between = (split(low).share..split(high).share).contains(&bucket_of("dashboard", &key));
            prop_assert_eq!(moved, between);
        }

        #[test]
        fn a_percentage_is_what_it_prints(hundredths in 0i32..=10_000) {
            let percent = split(hundredths).percent();
            prop_assert_eq!(percent.hundredths(), hundredths);
            prop_assert_eq!(Percent::parse(&percent.to_string()), Ok(percent));
        }
    }

    #[test]
    fn the_ends_take_nobody_and_everybody() {
        for key in 0..5_000 {
            assert!(!split(0).takes("dashboard", &key.to_string()));
            assert!(split(10_000).takes("dashboard", &key.to_string()));
        }
    }

    #[test]
    fn a_share_is_met_within_what_chance_allows() {
        let taken = (0..100_000).filter(|key| split(2_500).takes("dashboard", &key.to_string()));
        // Four standard deviations of a binomial with 100,000 draws at a quarter are 548.
        assert!((24_400..25_600).contains(&taken.count()));
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in [
            "", "-1", "101", "656", "999", "100.01", "1.234", ".5", "5.", "NaN", "1e1", "0x1",
            "10 %", "１",
        ] {
            assert!(Percent::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Percent::parse("12.5%").map(Percent::hundredths), Ok(1_250));
        assert_eq!(Percent::parse("0.05").map(Percent::hundredths), Ok(5));
    }
}
