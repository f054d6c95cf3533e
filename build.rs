//! Tells Cargo that the migrations, which are compiled in, are sources too.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
