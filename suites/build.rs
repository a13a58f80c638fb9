//! Makes a new or removed scenario or message file rebuild the crate: the compiler sees only the files that it embedded.

fn main() {
    println!("cargo::rerun-if-changed=.");
}
