//! The little DER that a public key in PEM is wrapped in.
//!
//! Pure, and its own file: three fixed shapes, compared byte for byte, so that nothing general has to be parsed.

/// `SEQUENCE { SEQUENCE { rsaEncryption, NULL }, BIT STRING }` (RFC 8017, A.1): the algorithm's part.
const RSA: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// All of the SPKI of a P-256 key (RFC 5480) but its uncompressed point, of which 04 is the first byte.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT: usize = 65;
/// All of the SPKI of an Ed25519 key (RFC 8410) but the key.
const ED25519: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ED25519_KEY: usize = 32;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

pub fn p256_of_spki(spki: &[u8]) -> Option<&[u8]> {
    let point = spki.strip_prefix(&P256)?;
    (point.len() == P256_POINT && point[0] == 4).then_some(point)
}

pub fn ed25519_of_spki(spki: &[u8]) -> Option<&[u8]> {
    let key = spki.strip_prefix(&ED25519)?;
    (key.len() == ED25519_KEY).then_some(key)
}

/// The PKCS #1 key within.
pub fn rsa_of_spki(spki: &[u8]) -> Option<&[u8]> {
    let inner = whole(SEQUENCE, spki)?;
    let key = inner.strip_prefix(&RSA)?;
    // The first byte of a bit string counts the bits that are not used.
    whole(BIT_STRING, key)?.strip_prefix(&[0])
}

/// Modulus and exponent, big-endian, without the zero that keeps DER's numbers positive.
pub fn rsa_numbers(pkcs1: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = whole(SEQUENCE, pkcs1)?;
    let (modulus, rest) = element(INTEGER, inner)?;
    let (exponent, rest) = element(INTEGER, rest)?;
    let positive = |number: &'_ [u8]| -> Option<usize> {
        match number {
            [0, high, ..] if high & 0x80 != 0 => Some(1),
            [high, ..] if *high != 0 && high & 0x80 == 0 => Some(0),
            _ => None,
        }
    };
    let (modulus, exponent) = (
        modulus.get(positive(modulus)?..)?,
        exponent.get(positive(exponent)?..)?,
    );
    rest.is_empty().then_some((modulus, exponent))
}

/// The PKCS #1 key of two numbers without leading zeros.
pub fn rsa_from_numbers(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    for number in [modulus, exponent] {
        let sign = usize::from(number.first().is_some_and(|high| high & 0x80 != 0));
        put_head(&mut inner, INTEGER, number.len() + sign);
        inner.extend(std::iter::repeat_n(0, sign));
        inner.extend_from_slice(number);
    }
    let mut outer = Vec::new();
    put_head(&mut outer, SEQUENCE, inner.len());
    outer.extend(inner);
    outer
}

fn put_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        // An RSA key of 8192 bits has some 1,040 bytes.
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
}

/// One element with this tag, and what follows it. Lengths are in their shortest form.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes.strip_prefix(&[tag])? {
        [short, rest @ ..] if *short < 0x80 => (usize::from(*short), rest),
        [0x81, low, rest @ ..] if *low >= 0x80 => (usize::from(*low), rest),
        [0x82, high, low, rest @ ..] if *high > 0 => {
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn whole(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (inner, rest) = element(tag, bytes)?;
    rest.is_empty().then_some(inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(modulus in prop::collection::vec(any::<u8>(), 1..1100), exponent in prop::collection::vec(any::<u8>(), 1..5)) {
            prop_assume!(modulus[0] != 0 && exponent[0] != 0);
            let encoded = rsa_from_numbers(&modulus, &exponent);
            prop_assert_eq!(rsa_numbers(&encoded), Some((&modulus[..], &exponent[..])));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (rsa_of_spki(&bytes), rsa_numbers(&bytes), p256_of_spki(&bytes), ed25519_of_spki(&bytes));
        }

        #[test]
        fn a_key_with_a_byte_more_or_less_is_none(cut in 1..20_usize) {
            let encoded = rsa_from_numbers(&[0xff; 256], &[1, 0, 1]);
            prop_assert_eq!(rsa_numbers(&encoded[..encoded.len() - cut]), None);
            let longer = [&encoded[..], &[0]].concat();
            prop_assert_eq!(rsa_numbers(&longer), None);
        }
    }
}
