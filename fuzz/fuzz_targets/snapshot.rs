//! Whatever a snapshot file holds, reading it ends in a snapshot that can be written and read again, or in a reason.
#![no_main]

use ficus::flags::disk::{MAGIC, decode, encode};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|body: &[u8]| {
    // As it is: the seal turns nearly everything away.
    let _ = decode(body);
    // And sealed, so that what lies behind the seal is reached.
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(&Sha256::digest(body));
    file.extend_from_slice(body);
    if let Ok(snapshot) = decode(&file) {
        let written = encode(&snapshot).expect("what was read can be written");
        let again = decode(&written).expect("what was written can be read");
        assert_eq!(snapshot.revision, again.revision);
        assert_eq!(snapshot.tenant_count(), again.tenant_count());
        assert_eq!(written, encode(&again).expect("written again"));
    }
});
