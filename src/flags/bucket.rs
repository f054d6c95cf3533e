//! The hash that puts a key into one of a million buckets, for splits and for the order of waves.
//!
//! Its own file, because the same function stands in SQL (`ficus.bucket`) and must never drift from it:
//! the first four bytes, big-endian, of SHA-256 over `version|salt|capability|key`, read as u32, and
//! `(u32 × 1,000,000) >> 32`.

use sha2::{Digest, Sha256};

/// Buckets are numbered 0 to 999,999: a step of one is 0.0001 %.
pub const BUCKETS: u32 = 1_000_000;

/// The 32 bits before they are scaled; also the order of tenants inside a wave.
pub fn hash32(version: &str, salt: &str, capability: &str, key: &str) -> u32 {
    let mut sha = Sha256::new();
    for (place, part) in [version, salt, capability, key].into_iter().enumerate() {
        if place > 0 {
            sha.update(b"|");
        }
        sha.update(part.as_bytes());
    }
    let digest = sha.finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The bucket of a key.
pub fn bucket(version: &str, salt: &str, capability: &str, key: &str) -> u32 {
    let scaled = u64::from(hash32(version, salt, capability, key)) * u64::from(BUCKETS);
    (scaled >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same vectors are asked of SQL in `tests/it/schema.rs`.
    #[test]
    fn the_golden_vectors_hold() {
        for (capability, key, hash, expected) in [
            ("dashboard.read", "1001", 0x9e54_d55b, 618_481),
            ("dashboard.read", "1002", 0x3c3d_de53, 235_319),
            ("send", "1001", 0x13e2_ce7d, 77_679),
            ("send", "acme", 0xbbf3_5a7a, 734_182),
            ("send", "Ünïcode", 0xf466_6dbb, 954_687),
        ] {
            assert_eq!(
                hash32("mf1", "2026a", capability, key),
                hash,
                "{capability}|{key}"
            );
            assert_eq!(
                bucket("mf1", "2026a", capability, key),
                expected,
                "{capability}|{key}"
            );
        }
    }
}
