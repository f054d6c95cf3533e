//! Logging in: which mechanism, and what it says.
//!
//! Its own file, because it is pure and handles the password: nothing here is logged, and nothing here prints.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use md5::Md5;

use super::server::Credentials;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Never specified, and spoken by everybody.
    Login,
    /// RFC 2195.
    CramMd5,
    /// Google's and Microsoft's, with a token of OAuth 2.0 in place of a password.
    Xoauth2,
}

impl Mechanism {
    pub fn named(word: &str) -> Option<Self> {
        let all = [Self::Plain, Self::Login, Self::CramMd5, Self::Xoauth2];
        all.into_iter()
            .find(|it| it.name().eq_ignore_ascii_case(word))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// Those to try, best first.
    ///
    /// Under TLS the password is safe on the way, so PLAIN comes first: one round trip, and unlike CRAM-MD5 it lets
    /// the server keep a slow hash; servers that do, offer CRAM-MD5 and cannot answer for it. In plain text CRAM-MD5
    /// comes first, because it is the only one that does not show the password to whoever listens.
    pub fn to_try(offered: &[Self], credentials: &Credentials, is_encrypted: bool) -> Vec<Self> {
        let order: &[Self] = match (credentials, is_encrypted) {
            (Credentials::Token { .. }, _) => &[Self::Xoauth2],
            (Credentials::Password { .. }, true) => &[Self::Plain, Self::Login, Self::CramMd5],
            (Credentials::Password { .. }, false) => &[Self::CramMd5, Self::Plain, Self::Login],
        };
        let is_offered = |it: &Self| offered.contains(it);
        order.iter().copied().filter(is_offered).collect()
    }

    /// Whether the next mechanism is worth a try after this one was refused with `code`. 504 says that the mechanism is
    /// not known after all. A refused CRAM-MD5 can be a server that keeps hashes. After any other the password is wrong,
    /// and each further try brings the account nearer to being locked.
    pub fn may_be_followed(self, code: u16) -> bool {
        code == 504 || (code == 535 && self == Self::CramMd5)
    }
}

/// One login's side of the talk.
pub struct Login<'a> {
    mechanism: Mechanism,
    credentials: &'a Credentials,
    answered: usize,
}

/// The server asks what the mechanism has no answer to.
#[derive(Debug, PartialEq, Eq)]
pub struct Unexpected;

impl<'a> Login<'a> {
    pub fn new(mechanism: Mechanism, credentials: &'a Credentials) -> Self {
        Self {
            mechanism,
            credentials,
            answered: 0,
        }
    }

    /// The first line, without its end.
    pub fn command(&self) -> String {
        let user = self.credentials.user();
        let secret = self.credentials.secret().reveal();
        let name = self.mechanism.name();
        match self.mechanism {
            Mechanism::Plain => {
                let encoded = STANDARD.encode(format!("\0{user}\0{secret}"));
                format!("AUTH {name} {encoded}")
            }
            Mechanism::Xoauth2 => {
                let text = format!("user={user}\u{1}auth=Bearer {secret}\u{1}\u{1}");
                format!("AUTH {name} {}", STANDARD.encode(text))
            }
            Mechanism::Login | Mechanism::CramMd5 => format!("AUTH {name}"),
        }
    }

    /// The line that answers a 334 with this text.
    pub fn answer(&mut self, challenge: &str) -> Result<String, Unexpected> {
        self.answered += 1;
        let user = self.credentials.user();
        let secret = self.credentials.secret().reveal();
        match (self.mechanism, self.answered) {
            // The order is fixed; the challenges say "Username:" in as many ways as there are servers.
            (Mechanism::Login, 1) => Ok(STANDARD.encode(user)),
            (Mechanism::Login, 2) => Ok(STANDARD.encode(secret)),
            (Mechanism::CramMd5, 1) => {
                let challenge = STANDARD.decode(challenge.trim()).map_err(|_| Unexpected)?;
                let digest = cram_md5(secret.as_bytes(), &challenge).ok_or(Unexpected)?;
                Ok(STANDARD.encode(format!("{user} {digest}")))
            }
            // The challenge is the reason of the refusal; an empty line asks for the refusal itself.
            (Mechanism::Xoauth2, 1) => Ok(String::new()),
            _ => Err(Unexpected),
        }
    }
}

fn cram_md5(secret: &[u8], challenge: &[u8]) -> Option<String> {
    let mut mac = <Hmac<Md5> as Mac>::new_from_slice(secret).ok()?;
    mac.update(challenge);
    let hex = |byte: &u8| format!("{byte:02x}");
    Some(mac.finalize().into_bytes().iter().map(hex).collect())
}

/// A reply's text without what was just sent: some servers repeat what they did not understand.
pub fn without_secrets(text: String, credentials: &Credentials) -> String {
    let secret = credentials.secret().reveal();
    let encoded = [
        secret.to_owned(),
        STANDARD.encode(secret),
        STANDARD.encode(format!("\0{}\0{secret}", credentials.user())),
    ];
    let repeats = |it: &String| !it.is_empty() && text.contains(it.as_str());
    match encoded.iter().any(repeats) || text.contains("AUTH ") {
        true => "***".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        }
    }

    #[test]
    fn cram_md5_answers_as_in_rfc_2195() {
        let tim = password("tim", "tanstaaftanstaaf");
        let mut login = Login::new(Mechanism::CramMd5, &tim);
        assert_eq!(login.command(), "AUTH CRAM-MD5");
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let answer = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
        assert_eq!(login.answer(challenge).as_deref(), Ok(answer));
        assert_eq!(login.answer(challenge), Err(Unexpected));
        let mut fresh = Login::new(Mechanism::CramMd5, &tim);
        assert_eq!(fresh.answer("no base64!"), Err(Unexpected));
    }

    #[test]
    fn plain_login_and_xoauth2_say_what_they_should() {
        let tim = password("tim", "pass");
        let plain = Login::new(Mechanism::Plain, &tim).command();
        assert_eq!(plain, "AUTH PLAIN AHRpbQBwYXNz");
        let mut login = Login::new(Mechanism::Login, &tim);
        assert_eq!(login.command(), "AUTH LOGIN");
        assert_eq!(login.answer("VXNlcm5hbWU6").as_deref(), Ok("dGlt"));
        assert_eq!(login.answer("UGFzc3dvcmQ6").as_deref(), Ok("cGFzcw=="));
        assert_eq!(login.answer("TW9yZT8="), Err(Unexpected));
        // Google's example.
        let token = Credentials::Token {
            user: "someuser@example.com".to_owned(),
            token: Secret::new("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"),
        };
        let mut xoauth2 = Login::new(Mechanism::Xoauth2, &token);
        assert_eq!(
            xoauth2.command(),
            "AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
        assert_eq!(xoauth2.answer("eyJzdGF0dXMi").as_deref(), Ok(""));
    }

    #[test]
    fn the_password_is_shown_in_plain_text_only_where_nothing_else_is_offered() {
        use Mechanism::{CramMd5, Login, Plain, Xoauth2};
        let offered = [Login, CramMd5, Plain, Xoauth2];
        let tim = password("tim", "pass");
        let plain = Mechanism::to_try(&offered, &tim, false);
        assert_eq!(plain, [CramMd5, Plain, Login]);
        let encrypted = Mechanism::to_try(&offered, &tim, true);
        assert_eq!(encrypted, [Plain, Login, CramMd5]);
        assert_eq!(Mechanism::to_try(&[Login], &tim, true), [Login]);
        let token = Credentials::Token {
            user: "tim".to_owned(),
            token: Secret::new("t"),
        };
        assert_eq!(Mechanism::to_try(&offered, &token, true), [Xoauth2]);
        assert!(Mechanism::to_try(&[Plain, Login], &token, true).is_empty());
    }

    #[test]
    fn a_wrong_password_is_tried_once_under_tls() {
        assert!(!Mechanism::Plain.may_be_followed(535));
        assert!(Mechanism::Plain.may_be_followed(504));
        assert!(Mechanism::CramMd5.may_be_followed(535));
    }

    #[test]
    fn a_reply_that_repeats_the_secret_is_not_kept() {
        let tim = password("tim", "hunter2");
        for text in ["bad hunter2", "bad aHVudGVyMg==", "what is AUTH PLAIN x"] {
            assert_eq!(without_secrets(text.to_owned(), &tim), "***", "{text}");
        }
        let text = "5.7.8 bad credentials".to_owned();
        assert_eq!(without_secrets(text.clone(), &tim), text);
    }
}
