//! Our signatures before a verifier that is not ours: Debian's `python3-dkim` (dkimpy), with keys that openssl makes.
//!
//! Its own file, because a signature that only its own maker understands is worth nothing.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use ficus::engine::address::{Address, Mailbox};
use ficus::engine::mail::Mail;
use ficus::engine::mail::dkim::{Signers, Source};
use ficus::engine::mail::header::{HttpsUrl, Subject};
use ficus::secret::Secret;
use sqlx::types::Uuid;

/// Verifies the mail on stdin with the one record that DNS has: its name and its text are the arguments.
const VERIFIER: &str = r#"
import sys, dkim
name, record = (argument.encode() for argument in sys.argv[1:])
def look_up(asked, timeout=5):
    asked = asked if isinstance(asked, bytes) else asked.encode()
    return record if asked == name + b"." else None
try:
    print("pass" if dkim.DKIM(sys.stdin.buffer.read()).verify(dnsfunc=look_up) else "fail")
except dkim.DKIMException as error:
    print("refused:", error)
"#;

/// What a command prints, given this. It fails where the command does.
fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl and /usr/bin/python3");
    let mut stdin = child.stdin.take().unwrap();
    // What makes a key reads nothing, and may be gone.
    let _ = stdin.write_all(input);
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{command:?} fails; .ci/install installs what is missing\n{told}"
    );
    done.stdout
}

fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
    run(Command::new("openssl").args(arguments.split(' ')), input)
}

/// A private key, and the record that publishes its other half, as docs/ENGINE.md has them made.
struct Keys {
    pem: String,
    record: String,
}

impl Keys {
    fn rsa(bits: u16) -> Self {
        let pem = openssl(
            &format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
            b"",
        );
        let public = STANDARD.encode(openssl("pkey -pubout -outform DER", &pem));
        Self {
            pem: String::from_utf8(pem).unwrap(),
            record: format!("v=DKIM1; k=rsa; p={public}"),
        }
    }

    fn ed25519() -> Self {
        let pem = openssl("genpkey -algorithm ED25519", b"");
        // The key itself, behind the 12 bytes that say what it is.
        let public = STANDARD.encode(&openssl("pkey -pubout -outform DER", &pem)[12..]);
        Self {
            pem: String::from_utf8(pem).unwrap(),
            record: format!("v=DKIM1; k=ed25519; p={public}"),
        }
    }

    /// A newsletter from `news.acorn.test`, signed for `acorn.test`.
    fn signed(&self, text: &str) -> String {
        let source = Source {
            selector: "2026a".to_owned(),
            key: Secret::new(self.pem.as_str()),
        };
        let sources = BTreeMap::from([("acorn.test".to_owned(), source)]);
        let mailbox = |address: &str, name: &str| {
            Mailbox::new(Address::parse(address).unwrap(), Some(name)).unwrap()
        };
        let mail = Mail {
            id: Uuid::from_u128(7),
            date: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            from: &mailbox("hello@news.acorn.test", "Acorn & Söhne"),
            reply_to: Some(&mailbox("reply@acorn.test", "")),
            to: &mailbox("ann@example.com", "Ann"),
            subject: &Subject::new(&"Neues für Dich, jede Woche. ".repeat(9)).unwrap(),
            text,
            html: Some("<p>Dear   Ann,</p>\n\n<p>read \t on.</p>  \n"),
            campaign: Some(11),
            unsubscribe: Some(&HttpsUrl::new("https://m.acorn.test/u/1").unwrap()),
            files: &[],
            signers: &Signers::new(&sources).unwrap(),
        };
        String::from_utf8(mail.build().unwrap()).unwrap()
    }

    fn verdict(&self, mail: &str) -> String {
        let name = "2026a._domainkey.acorn.test";
        let mut python = Command::new("/usr/bin/python3");
        let told = run(
            python.args(["-c", VERIFIER, name, &self.record]),
            mail.as_bytes(),
        );
        String::from_utf8(told).unwrap().trim().to_owned()
    }
}

fn assert_signs(keys: &Keys) {
    for text in [
        "",
        "Dear Ann,\n\n\nread  on.  \n\n\n",
        "é\t \n.\nFrom here on\n",
    ] {
        assert_eq!(keys.verdict(&keys.signed(text)), "pass", "{text:?}");
    }
    let mail = keys.signed("Dear Ann,\n\nread  on.\n");
    // What relays do on the way.
    for (from, to) in [
        ("To: \"Ann\" <", "TO:\t\"Ann\"\r\n   <"),
        ("read  on.\r\n", "read \t on. \t\r\n"),
        ("--\r\n", "--  \r\n\r\n"),
        (
            "DKIM-Signature: v=1;",
            "Received: by x\r\nDKIM-Signature:   v=1;",
        ),
    ] {
        let (at, _) = mail.rmatch_indices(from).next().expect(from);
        let relayed = format!("{}{to}{}", &mail[..at], &mail[at + from.len()..]);
        assert_eq!(keys.verdict(&relayed), "pass", "{from:?} to {to:?}");
    }
    // What nobody may do.
    let (signature, rest) = mail.split_once("From: ").unwrap();
    for (change, forged) in [
        ("a word", mail.replace("read  on.", "read this.")),
        ("a line", format!("{mail}more\r\n")),
        ("the sender", mail.replace("hello@", "hallo@")),
        ("the recipient", mail.replace("ann@", "bob@")),
        (
            "the way out",
            mail.replace("m.acorn.test/u/1", "m.acorn.test/u/2"),
        ),
        ("the time", mail.replace("t=1700000000", "t=1700000001")),
        ("another From", format!("From: eve@evil.test\r\n{mail}")),
        (
            "another From within",
            format!("{signature}From: eve@evil.test\r\nFrom: {rest}"),
        ),
        (
            "another Subject",
            format!("{signature}Subject: Win\r\nFrom: {rest}"),
        ),
    ] {
        assert_ne!(forged, mail, "{change}");
        let verdict = keys.verdict(&forged);
        assert!(
            verdict == "fail" || verdict.starts_with("refused"),
            "{change}: {verdict}\n{forged}"
        );
    }
    assert_eq!(mail, keys.signed("Dear Ann,\n\nread  on.\n"));
}

#[test]
fn a_verifier_takes_our_rsa_signatures_and_no_forgery_of_them() {
    assert_signs(&Keys::rsa(2048));
}

#[test]
fn a_verifier_takes_our_ed25519_signatures_and_no_forgery_of_them() {
    assert_signs(&Keys::ed25519());
}

#[test]
fn a_signature_is_one_keys_and_no_others() {
    for (ours, other) in [
        (Keys::ed25519(), Keys::ed25519()),
        (Keys::rsa(2048), Keys::rsa(3072)),
    ] {
        let mail = ours.signed("Dear Ann,\n");
        assert_eq!(ours.verdict(&mail), "pass");
        assert_ne!(other.verdict(&mail), "pass");
    }
}
