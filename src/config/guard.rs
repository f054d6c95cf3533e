//! Reads `[guard]`, and what each capability is held to.
//!
//! Its own file, because a limit that is misread rolls somebody back, or nobody.

use std::time::Duration;

use super::section::Section;
use crate::rollout::guard::limits::{Config, Limits, MOST_HOLD, MOST_WINDOW, Misses};

const MILLISECOND: Duration = Duration::from_millis(1);
/// The last bound of the histogram: beyond it nothing is told apart.
const SLOWEST: Duration = Duration::from_secs(30);
const BUCKET: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);
/// As far back as a new leader reads.
const SHORTEST_KEEP: Duration = Duration::from_secs(1800);

/// What of the guard is no capability's.
pub struct GuardRead {
    acts: bool,
    tenants: usize,
    cool_down: Duration,
    keep: Duration,
}

pub fn read(mut section: Section<'_, '_>) -> Option<GuardRead> {
    let acts = section.switch("act");
    let tenants = section.count("tenants", 1..=1_000_000);
    let cool_down = section.duration("cool_down", BUCKET..=DAY);
    let keep = section.duration("keep", SHORTEST_KEEP..=DAY);
    section.finish();
    Some(GuardRead {
        acts: acts?,
        tenants: usize::try_from(tenants?).ok()?,
        cool_down: cool_down?,
        keep: keep?,
    })
}

impl GuardRead {
    pub fn with(
        self,
        limits: Limits,
        capabilities: std::collections::BTreeMap<String, Limits>,
    ) -> Config {
        Config {
            acts: self.acts,
            limits,
            capabilities,
            tenants: self.tenants,
            cool_down: self.cool_down,
            keep: self.keep,
        }
    }
}

/// A limit as the file has it.
enum Word<T> {
    /// "": the profile's.
    Profile,
    Off,
    At(T),
}

impl<T> Word<T> {
    fn or(self, profile: Option<T>) -> Option<T> {
        match self {
            Self::Profile => profile,
            Self::Off => None,
            Self::At(limit) => Some(limit),
        }
    }
}

pub fn read_limits(mut section: Section<'_, '_>) -> Option<Limits> {
    let profiles: [(_, fn() -> Limits); 2] =
        [("standard", Limits::default), ("relaxed", Limits::relaxed)];
    let profile = section.word("profile", &profiles);
    let error_rate = limit(&mut section, "error_rate", share);
    let p95 = limit(&mut section, "p95", latency);
    let p99 = limit(&mut section, "p99", latency);
    let connect_failures = limit(&mut section, "connect_failures", share);
    let outcomes = section.texts("outcomes", share);
    let misses = [("answers", Misses::Answers), ("errors", Misses::Errors)];
    let misses = section.word("misses", &misses);
    let window = section.duration("window", BUCKET..=MOST_WINDOW);
    let hold = section.duration("for", BUCKET..=MOST_HOLD);
    let min_requests = section.count("min_requests", 1..=1_000_000);
    let factor = section.text("factor", factor);
    section.finish();
    let profile = profile?();
    Some(Limits {
        error_rate: error_rate?.or(profile.error_rate),
        p95: p95?.or(profile.p95),
        p99: p99?.or(profile.p99),
        connect_failures: connect_failures?.or(profile.connect_failures),
        outcomes: outcomes?,
        misses: misses?,
        window: window?,
        hold: hold?,
        min_requests: min_requests?,
        factor: factor?,
    })
}

fn limit<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<Word<T>> {
    section.text(key, |text| match text {
        "" => Ok(Word::Profile),
        "off" => Ok(Word::Off),
        text => read(text).map(Word::At),
    })
}

fn share(text: &str) -> Result<f64, String> {
    super::value::share(text).map(|millionths| f64::from(millionths) / 1e6)
}

fn latency(text: &str) -> Result<Duration, String> {
    let duration = super::value::duration(text)?;
    match (MILLISECOND..=SLOWEST).contains(&duration) {
        true => Ok(duration),
        false => Err("must be from 1ms to 30s".to_owned()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = text.parse::<f64>().ok().filter(|_| plain);
    number
        .filter(|number| (1.0..=100.0).contains(number))
        .ok_or_else(|| "expected a number from \"1\" to \"100\" such as \"1.5\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::valid;
    use super::*;

    #[test]
    fn a_capability_is_held_to_its_own_limits_and_to_its_profile() {
        let guard = valid("full").guard;
        assert!(!guard.acts);
        let invoices = guard.limits_of("billing.invoices");
        assert_eq!((invoices.error_rate, invoices.factor), (Some(0.05), 1.5));
        assert_eq!(invoices.outcomes["duplicate"], 0.0);
        let standard = Limits::default();
        assert_eq!(guard.limits_of("dashboard"), &standard);
        assert_eq!(guard.limits_of("of-another-process"), &standard);
    }
}
