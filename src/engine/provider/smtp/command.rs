//! MAIL, RCPT and BDAT with the parameters that a server offers, and which message it could not take at all.
//!
//! Its own file, because it is where the server's capabilities and a message meet.

use std::fmt::Write;

use super::capability::Capabilities;
use super::message::Message;
use super::outcome::{Class, Fault};

/// RFC 3461, 4.2: of ORCPT.
const LONGEST_ORCPT: usize = 500;

/// Why this server would refuse the message, or change it, if it were written: so it is not.
pub fn misfit(message: &Message, abilities: &Capabilities) -> Option<Fault> {
    let permanent = |what: &'static str| Some(Fault::new(Class::Permanent, what));
    if let Some(Some(limit)) = abilities.size
        && message.shape.size > limit
    {
        return permanent("the message is larger than the server takes");
    }
    if message.is_international() && !abilities.international {
        return permanent("an address or a header needs SMTPUTF8, which the server does not offer");
    }
    if message.shape.eight_bit && !abilities.eight_bit {
        return permanent("the message needs 8BITMIME, which the server does not offer");
    }
    None
}

pub fn mail(message: &Message, abilities: &Capabilities) -> String {
    let from = message.envelope.from.as_ref().map_or("", |it| it.as_str());
    let mut line = format!("MAIL FROM:<{from}>");
    if abilities.size.is_some() {
        // Writing to a string cannot fail, which its type does not say.
        let _ = write!(line, " SIZE={}", message.shape.size);
    }
    if message.shape.eight_bit && abilities.eight_bit {
        line.push_str(" BODY=8BITMIME");
    }
    if message.is_international() && abilities.international {
        line.push_str(" SMTPUTF8");
    }
    if abilities.dsn {
        line.push_str(" RET=HDRS");
        if let Some(id) = &message.envelope.id {
            line.push_str(" ENVID=");
            line.push_str(&xtext(id));
        }
    }
    line.push_str("\r\n");
    line
}

pub fn recipient(message: &Message, at: usize, abilities: &Capabilities) -> String {
    let to = message.envelope.to.get(at).map_or("", |it| it.as_str());
    let mut line = format!("RCPT TO:<{to}>");
    if abilities.dsn {
        line.push_str(" NOTIFY=FAILURE,DELAY");
        let original = xtext(to);
        // Its form for UTF-8 (RFC 6533) would say what stands in the report anyway.
        if to.is_ascii() && original.len() + "rfc822;".len() <= LONGEST_ORCPT {
            line.push_str(" ORCPT=rfc822;");
            line.push_str(&original);
        }
    }
    line.push_str("\r\n");
    line
}

pub fn chunk(message: &Message) -> String {
    format!("BDAT {} LAST\r\n", message.shape.size)
}

/// RFC 3461, 4: printable ASCII but `+` and `=`, everything else as `+` and two digits.
fn xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "+{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::provider::smtp::{Address, Envelope};

    fn message(to: &str, body: &str) -> Message {
        let address = |text| Address::parse(text).unwrap();
        let envelope = Envelope::new(Some(address("ann@example.com")), vec![address(to)]);
        let envelope = envelope.unwrap().with_id("id=7+ x").unwrap();
        Message::new(envelope, body.to_owned()).unwrap()
    }

    fn everything() -> Capabilities {
        Capabilities::of("x\nSIZE 1000\n8BITMIME\nSMTPUTF8\nDSN\nPIPELINING\nCHUNKING")
    }

    #[test]
    fn a_server_that_offers_nothing_gets_bare_commands() {
        let (message, bare) = (
            message("bob@example.com", "a\n\nb"),
            Capabilities::default(),
        );
        assert_eq!(mail(&message, &bare), "MAIL FROM:<ann@example.com>\r\n");
        assert_eq!(
            recipient(&message, 0, &bare),
            "RCPT TO:<bob@example.com>\r\n"
        );
    }

    #[test]
    fn what_a_server_offers_is_used() {
        let plain = message("b+b@example.com", "a\n\nb");
        assert_eq!(
            mail(&plain, &everything()),
            "MAIL FROM:<ann@example.com> SIZE=8 RET=HDRS ENVID=id+3D7+2B+20x\r\n"
        );
        assert_eq!(
            recipient(&plain, 0, &everything()),
            "RCPT TO:<b+b@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bb@example.com\r\n"
        );
        assert_eq!(chunk(&plain), "BDAT 8 LAST\r\n");
        let eight_bit = mail(&message("bob@example.com", "a\n\nö"), &everything());
        assert!(eight_bit.contains(" BODY=8BITMIME RET"), "{eight_bit}");
        let international = message("bö@example.com", "a\n\nb");
        assert!(mail(&international, &everything()).contains(" SMTPUTF8 "));
        let to = recipient(&international, 0, &everything());
        assert_eq!(to, "RCPT TO:<bö@example.com> NOTIFY=FAILURE,DELAY\r\n");
    }

    #[test]
    fn what_a_server_cannot_take_is_told_before_it_is_written() {
        let fault = |message: &Message, offered: &str| {
            let found = misfit(message, &Capabilities::of(&format!("x\n{offered}")));
            found.map(|it| (it.class, it.what.into_owned()))
        };
        let plain = message("bob@example.com", "a\n\nb");
        assert_eq!(fault(&plain, "SIZE 8"), None);
        assert_eq!(fault(&plain, "SIZE 0"), None);
        let (class, what) = fault(&plain, "SIZE 7").unwrap();
        assert_eq!(class, Class::Permanent);
        assert!(what.contains("larger"), "{what}");
        for (message, needed) in [
            (message("bö@example.com", "a\n\nb"), "SMTPUTF8"),
            (message("bob@example.com", "ö: a\n\nb"), "SMTPUTF8"),
            (message("bob@example.com", "a\n\nö"), "8BITMIME"),
        ] {
            let (class, what) = fault(&message, "PIPELINING").unwrap();
            assert_eq!(class, Class::Permanent);
            assert!(what.contains(needed), "{what}");
            assert_eq!(fault(&message, "8BITMIME\nSMTPUTF8"), None);
        }
    }
}
