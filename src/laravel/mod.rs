//! Laravel 8's own formats: what `encrypt()` seals and what PHP's `serialize` writes.
//!
//! Its own module, because two sides read them that know nothing of each other: sessions while the migration lasts, and the
//! passwords that tenants have stored, for as long as nobody has sealed them anew.

pub mod envelope;
pub mod php;

use envelope::Opener;

use crate::secret::Secret;

/// Bytes of a sealed text in a column: a password of thousands of characters has fewer.
const COLUMN_LIMIT: usize = 64 * 1024;

/// Why a text does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    #[error("it is not what Laravel's encrypt() writes")]
    Malformed,
    #[error("it was sealed with another key, or changed")]
    BadMac,
}

/// As `decrypt()`: the string that `encrypt()` has sealed, as in `smtp_servers.password`. What `encryptString()` seals is
/// not serialized, and [`Unopened::Malformed`] here as it is a fault in Laravel.
pub fn decrypt(opener: &Opener, text: &str) -> Result<Secret, Unopened> {
    if text.len() > COLUMN_LIMIT {
        return Err(Unopened::Malformed);
    }
    let opened = opener.open_long(text.as_bytes())?;
    let text = php::text(&opened).map_err(|_| Unopened::Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Unopened::Malformed)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::envelope::tests::{key, seal};
    use super::*;

    fn decrypt(text: &str) -> Result<String, Unopened> {
        let opener = Opener::new(&key()).unwrap();
        super::decrypt(&opener, text).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn a_stored_password_opens() {
        assert_eq!(
            decrypt(&seal(br#"s:7:"hunter2";"#)),
            Ok("hunter2".to_owned())
        );
        assert_eq!(
            decrypt(&seal("s:5:\"ä é\";".as_bytes())),
            Ok("ä é".to_owned())
        );
    }

    #[test]
    fn what_is_no_string_of_encrypt_is_refused() {
        for sealed in [
            &b"hunter2"[..],
            b"i:7;",
            b"s:8:\"hunter2\";",
            b"a:0:{}",
            b"",
            b"s:1:\"\xff\";",
        ] {
            assert_eq!(
                decrypt(&seal(sealed)),
                Err(Unopened::Malformed),
                "{sealed:?}"
            );
        }
        assert_eq!(decrypt(""), Err(Unopened::Malformed));
        assert_eq!(
            decrypt(&"A".repeat(COLUMN_LIMIT + 4)),
            Err(Unopened::Malformed)
        );
        let other = seal(br#"s:7:"hunter2";"#).replace("eyJ", "eyI");
        assert!(decrypt(&other).is_err());
    }
}
