//! What `serialize` writes is found, a byte less or more is refused, and no bytes make the reader panic or stay for long.
#![no_main]

use ficus::laravel::php::{Value, find, text};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"login_web_59ba36addc2b2f9401580f014c7f58ea4e30989d";

fuzz_target!(|bytes: &[u8]| {
    // As it is: nothing can be left out of what is whole, and nothing can follow it.
    let found = find(bytes, KEY);
    let array = found.is_ok();
    let string = text(bytes).is_ok();
    assert!(!(array && string), "an array and a string");
    if array || string {
        let longer = [bytes, b";"].concat();
        assert!(find(&longer, KEY).is_err() && text(&longer).is_err());
        let shorter = &bytes[..bytes.len() - 1];
        assert!(find(shorter, KEY).is_err() && text(shorter).is_err());
    }
    if let Ok(Some(Value::Text(user))) = found {
        // What is found stands in the bytes.
        assert!(user.is_empty() || bytes.windows(user.len()).any(|part| part == user));
    }
    // And as a value of an array that PHP would write: whatever its bytes say, they are a string's.
    let mut written = b"a:2:{s:6:\"_token\";".to_vec();
    string_into(&mut written, bytes);
    string_into(&mut written, KEY);
    written.extend_from_slice(b"i:42;}");
    assert_eq!(find(&written, KEY), Ok(Some(Value::Int(42))));
    assert_eq!(find(&written, b"_token"), Ok(Some(Value::Text(bytes))));
    let mut once_more = Vec::new();
    string_into(&mut once_more, &written);
    assert_eq!(text(&once_more), Ok(&written[..]));
});

fn string_into(written: &mut Vec<u8>, text: &[u8]) {
    written.extend_from_slice(format!("s:{}:\"", text.len()).as_bytes());
    written.extend_from_slice(text);
    written.extend_from_slice(b"\";");
}
