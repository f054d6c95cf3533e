//! Whatever a configuration file holds, reading it ends in a configuration or in faults that each have a key and a text.
#![no_main]

use ficus::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // A file that is named is a file that is read: the fuzzer is not to roam this machine.
    if text.contains("file") {
        return;
    }
    let environment = [("NAME".to_owned(), "value".to_owned())];
    if let Err(faults) = Config::parse(text, environment.into_iter()) {
        assert!(!faults.0.is_empty(), "refused without a reason");
        assert!(!faults.to_string().is_empty());
    }
});
