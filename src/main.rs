//! The binary: one TLS provider, one allocator, then the command line.
//!
//! Its own file, because the rest is a library that tests and benches use as it is.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The only call in the process, so it cannot find another provider there before it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ficus::cli::run()
}
