//! Says whether `cargo xtask web` has fetched the player library: a source
//! build does without it, and says so on its pages.

use std::path::Path;

fn main() {
    // With its licence, or not at all.
    const FILES: [&str; 2] = ["assets/vendor/hls.min.js", "assets/vendor/hls.LICENSE.txt"];
    println!("cargo::rustc-check-cfg=cfg(has_hls_js)");
    println!("cargo::rerun-if-changed=build.rs");
    // Not the files themselves: while one does not exist, the script would run,
    // and the crate be compiled, each time. The folder is looked through.
    println!("cargo::rerun-if-changed=assets");
    if FILES.iter().all(|file| Path::new(file).is_file()) {
        println!("cargo::rustc-cfg=has_hls_js");
    }
}
