//! Says which player libraries `cargo xtask web` has fetched: a source build does
//! without them, and says so on its pages.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Not the files themselves: while one does not exist, the script would run,
    // and the crate be compiled, each time. The folder is looked through.
    println!("cargo::rerun-if-changed=assets");
    for name in ["hls", "dash"] {
        println!("cargo::rustc-check-cfg=cfg(has_{name}_js)");
        // With its licence, or not at all.
        let files = [format!("{name}.min.js"), format!("{name}.LICENSE.txt")];
        if files
            .iter()
            .all(|file| Path::new("assets/vendor").join(file).is_file())
        {
            println!("cargo::rustc-cfg=has_{name}_js");
        }
    }
}
