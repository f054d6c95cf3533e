//! In how many parts a text travels, and in which of its two alphabets.
//!
//! Its own file, because vendors charge for parts, and one letter outside the first alphabet makes nearly three of one. The alphabet and
//! its extension are those of 3GPP TS 23.038, section 6.2.1; the lengths of parts, of TS 23.040, section 9.2.3.24.1: a part of several
//! has 7 of its 160 septets, or 3 of its 70 units, for its place among them.

/// Of a text that is one part, and of each of several.
const SEPTETS: (usize, usize) = (160, 153);
const UNITS: (usize, usize) = (70, 67);

/// Twilio's bound, and the least that the four have.
pub const MOST_SEGMENTS: usize = 10;

const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Each is two septets, which stay together.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    Gsm7,
    Ucs2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    pub alphabet: Alphabet,
    pub count: usize,
}

/// An empty text is one part.
pub fn count(text: &str) -> Segments {
    let septets = |c: char| match c {
        c if BASIC.contains(c) => Some(1),
        c if EXTENSION.contains(c) => Some(2),
        _ => None,
    };
    let widths: Option<Vec<usize>> = text.chars().map(septets).collect();
    match widths {
        Some(widths) => Segments {
            alphabet: Alphabet::Gsm7,
            count: parts(widths.into_iter(), SEPTETS),
        },
        None => Segments {
            alphabet: Alphabet::Ucs2,
            // A character beyond the first plane is two units, which stay together.
            count: parts(text.chars().map(char::len_utf16), UNITS),
        },
    }
}

fn parts(widths: impl Iterator<Item = usize> + Clone, (one, several): (usize, usize)) -> usize {
    if widths.clone().sum::<usize>() <= one {
        return 1;
    }
    let (mut parts, mut filled) = (1, 0);
    for width in widths {
        if filled + width > several {
            parts += 1;
            filled = 0;
        }
        filled += width;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gsm(count: usize) -> Segments {
        let alphabet = Alphabet::Gsm7;
        Segments { alphabet, count }
    }

    fn ucs(count: usize) -> Segments {
        let alphabet = Alphabet::Ucs2;
        Segments { alphabet, count }
    }

    #[test]
    fn parts_begin_where_the_standard_says() {
        for (text, expected) in [
            (String::new(), gsm(1)),
            ("a".repeat(160), gsm(1)),
            ("a".repeat(161), gsm(2)),
            ("a".repeat(306), gsm(2)),
            ("a".repeat(307), gsm(3)),
            ("€".repeat(80), gsm(1)),
            ("€".repeat(81), gsm(2)),
            // 76 of them fill 152 of 153: the last septet stays free.
            ("€".repeat(152), gsm(2)),
            ("€".repeat(153), gsm(3)),
            ("я".repeat(70), ucs(1)),
            ("я".repeat(71), ucs(2)),
            ("я".repeat(134), ucs(2)),
            ("я".repeat(135), ucs(3)),
            ("😀".repeat(35), ucs(1)),
            ("😀".repeat(36), ucs(2)),
            // 33 of them fill 66 of 67.
            ("😀".repeat(66), ucs(2)),
            ("😀".repeat(67), ucs(3)),
            (format!("{}я", "a".repeat(70)), ucs(2)),
        ] {
            assert_eq!(
                count(&text),
                expected,
                "{} characters",
                text.chars().count()
            );
        }
    }

    #[test]
    fn the_first_alphabet_has_what_the_standard_lists_and_no_more() {
        assert_eq!(BASIC.chars().count(), 127, "128 with the escape");
        assert_eq!(EXTENSION.chars().count(), 10);
        for c in BASIC.chars().chain(EXTENSION.chars()) {
            assert_eq!(count(&c.to_string()), gsm(1), "{c:?}");
        }
        for c in ['ç', 'á', '`', '’', '–', '\t', '\u{a0}'] {
            assert_eq!(count(&c.to_string()), ucs(1), "{c:?}");
        }
    }
}
