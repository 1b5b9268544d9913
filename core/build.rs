//! Nothing is built here. The `links` key in Cargo.toml needs a build script to
//! stand beside it, and makes cargo refuse two versions of this crate in one
//! graph: with two, half of the plugins would register in a list nobody reads.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
