//! The player libraries for browsers: hls.js and dash.js, from npm, pinned by server/npm/package-lock.json. The server embeds what this puts into
//! server/assets/vendor/; a build without it says so on its player page.

use std::fs;

use crate::process::{Context, Result, ensure};
use crate::{tools, workspace};

/// From the package's folder to the name that the server embeds.
const FILES: &[(&str, &str)] = &[
    ("hls.js/dist/hls.min.js", "hls.min.js"),
    ("hls.js/LICENSE", "hls.LICENSE.txt"),
    // Without what content protection, Smooth Streaming and downloads would need.
    (
        "dashjs/dist/modern/umd/dash.mediaplayer.min.js",
        "dash.min.js",
    ),
    ("dashjs/LICENSE.md", "dash.LICENSE.txt"),
];

pub(crate) fn run() -> Result {
    let server = workspace::root().join("server");
    let npm = server.join("npm");
    tools::npm_ci(&npm)?;
    let vendor = server.join("assets/vendor");
    fs::create_dir_all(&vendor).context(vendor.display())?;
    for (from, to) in FILES {
        let from = npm.join("node_modules").join(from);
        let to = vendor.join(to);
        let bytes = fs::read(&from).context(from.display())?;
        ensure!(!bytes.is_empty(), "{} is empty", from.display());
        // An unchanged file keeps its date: cargo rebuilds nothing then.
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::write(&to, &bytes).context(to.display())?;
        }
        println!("{} ({} bytes)", to.display(), bytes.len());
    }
    Ok(())
}
