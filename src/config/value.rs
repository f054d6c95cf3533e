//! What a single value may look like: pure functions from text to a type, or to the sentence that says what was expected.
//!
//! Its own file, because the rules of one value need neither the file nor its neighbours. Addresses are in `address`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;

use crate::laravel::envelope::Cipher;

/// A whole number and `ms`, `s`, `m` or `h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || r#"expected a duration such as "250ms", "30s", "15m" or "1h""#.to_owned();
    let (number, unit) = split_unit(text).ok_or_else(expected)?;
    let milliseconds_a_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    number
        .checked_mul(milliseconds_a_unit)
        .map(Duration::from_millis)
        .ok_or_else(expected)
}

/// A whole number of bytes, or with `B`, `KiB`, `MiB`, `GiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || r#"expected a size such as "512", "8KiB", "16MiB" or "1GiB""#.to_owned();
    let (number, unit) = split_unit(text).ok_or_else(expected)?;
    let bytes_a_unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    number.checked_mul(bytes_a_unit).ok_or_else(expected)
}

/// The duration in the largest unit that holds it whole, as `duration` reads it.
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        n if n % 3_600_000 == 0 => format!("{}h", n / 3_600_000),
        n if n % 60_000 == 0 => format!("{}m", n / 60_000),
        n if n % 1_000 == 0 => format!("{}s", n / 1_000),
        n => format!("{n}ms"),
    }
}

/// The size in the largest unit that holds it whole, as `size` reads it.
pub fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        n if n % (1 << 30) == 0 => format!("{}GiB", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
        n => n.to_string(),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A percentage as parts of a million.
pub fn share(text: &str) -> Result<u32, String> {
    let read = || {
        let (whole, rest) = text
            .strip_suffix('%')
            .map(|n| n.split_once('.').unwrap_or((n, "0")))?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || whole.len() > 3 || rest.len() > 4 {
            return None;
        }
        let share = format!("{whole}{rest:0<4}").parse::<u32>().ok()?;
        (share <= 1_000_000).then_some(share)
    };
    read().ok_or_else(|| {
        r#"expected a percentage from "0%" to "100%", with four decimals at most, such as "0.25%""#
            .to_owned()
    })
}

/// A statement of SQL, which PostgreSQL alone can check.
pub fn statement(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a statement of SQL".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Laravel's APP_KEY.
pub fn app_key(text: &str, cipher: Cipher) -> Result<(), String> {
    let wanted = cipher.key_bytes();
    let key = text
        .strip_prefix("base64:")
        .and_then(|key| base64::engine::general_purpose::STANDARD.decode(key).ok());
    match key {
        Some(key) if key.len() == wanted => Ok(()),
        Some(key) => Err(format!(
            "holds {} bytes; expected \"base64:\" and {wanted} bytes, as Laravel's APP_KEY for {}",
            key.len(),
            cipher.name()
        )),
        None => Err(format!(
            "expected \"base64:\" and {wanted} bytes in base64, as Laravel's APP_KEY"
        )),
    }
}

/// A query of the operator's: it must use all of its parameters, or PostgreSQL refuses it at the first request.
pub fn query(text: &str, parameters: &[(&str, &str)]) -> Result<String, String> {
    for (parameter, _) in parameters {
        if !text.contains(parameter) {
            let all: Vec<String> = parameters
                .iter()
                .map(|(name, meaning)| format!("{name} is {meaning}"))
                .collect();
            return Err(format!("has no {parameter}; {}", all.join(", ")));
        }
    }
    Ok(text.to_owned())
}

/// A guard of Laravel's, as `config/auth.php` names it. A dot would make Laravel nest the session's entry.
pub fn guard_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a guard such as \"web\"".to_owned())
    }
}

/// A cookie's name: a token, by RFC 6265.
pub fn cookie_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let good = !text.is_empty() && text.bytes().all(fits);
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected a cookie's name such as \"laravel_session\"".to_owned())
    }
}

pub fn header_name(text: &str) -> Result<http::HeaderName, String> {
    text.parse()
        .map_err(|_| "expected a header's name such as \"x-tenant-id\"".to_owned())
}

/// A path with `{tenant}` in it, otherwise as a route's.
pub fn tenant_path(text: &str) -> Result<String, String> {
    match crate::identity::path::PathPattern::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err(r#"expected a path with {tenant} in it such as "/t/{tenant}/{*rest}""#.to_owned())
        }
    }
}

/// The name of a parameter of the query as applications know it, decoded.
pub fn parameter_name(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(r#"expected a parameter's name such as "tenant""#.to_owned())
    }
}

/// Upper case only, because methods are case-sensitive and `get` would never match.
pub fn method(text: &str) -> Result<http::Method, String> {
    let upper = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    match text.parse() {
        Ok(method) if upper => Ok(method),
        _ => Err("expected a method in upper case such as \"GET\"".to_owned()),
    }
}

pub fn name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("expected a name: a-z, then up to 62 of a-z, 0-9, '_', '.' and '-'".to_owned())
        }
    }
}

/// The name of a capability; the check on `ficus.capability.name` has the same rule. Upstreams keep to it too.
pub fn is_name(text: &str) -> bool {
    let fits =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    (1..=63).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(fits)
}

/// A filter of log lines as `RUST_LOG` takes it, without blanks: behind one, tracing-subscriber 0.3.23 cuts the target
/// one character short, and where that is no ASCII it panics.
pub fn log_filter(text: &str) -> Result<String, String> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if is_plain && tracing_subscriber::EnvFilter::builder().parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected a log filter without blanks such as \"info\" or \"ficus=debug,warn\"".to_owned())
}

pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        Err("expected a path".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

/// A path that does not depend on where the process was started.
pub fn absolute_path(text: &str) -> Result<PathBuf, String> {
    path(text)
        .ok()
        .filter(|path| path.is_absolute())
        .ok_or_else(|| "expected an absolute path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_without_unit_is_no_duration() {
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "30 s",
            "30S",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_parts_of_a_million() {
        for (text, share) in [
            ("0%", 0),
            ("1%", 10_000),
            ("0.0001%", 1),
            ("12.5%", 125_000),
            ("100%", 1_000_000),
            ("100.0000%", 1_000_000),
        ] {
            assert_eq!(super::share(text), Ok(share), "{text}");
        }
        for text in [
            "", "%", "1", "-1%", "1.%", ".5%", "0.00001%", "100.1%", "1e2%", "1 %",
        ] {
            assert!(super::share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_log_filter_with_a_blank_is_refused() {
        for text in ["", "info, ficus=debug", " info", "\t\u{b9}="] {
            assert!(log_filter(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_duration_is_read_as_itself(milliseconds in 0..u64::from(u32::MAX)) {
            let exact = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&show_duration(exact)), Ok(exact));
        }

        #[test]
        fn a_shown_size_is_read_as_itself(bytes: u64) {
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let _ = (duration(&text), size(&text), share(&text), app_key(&text, Cipher::default()), log_filter(&text), cookie_name(&text), method(&text));
        }
    }
}
