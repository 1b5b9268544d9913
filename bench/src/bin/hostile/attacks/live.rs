//! Where the files of a good stream are, for attacks that need real ones.

use rillcast_bench::{Error, Result};

use crate::arena::{Arena, GOOD_APP};
use crate::http::get;

/// A good stream's pictures.
pub(super) struct Live {
    /// `/hls/…/index.m3u8`.
    pub(super) index: String,
    /// The media playlist.
    pub(super) playlist: String,
    /// What stands before a file's name.
    base: String,
    /// The last segment that is whole.
    last: u64,
}

impl Live {
    pub(super) async fn find(arena: &Arena, index: usize) -> Result<Self> {
        let home = format!("/hls/{GOOD_APP}/bench-{index}/");
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        let master = text(&get(arena, 9, &format!("{home}index.m3u8")).await?.body);
        let track = master.lines().find(|line| !line.starts_with('#'));
        let track = track.ok_or_else(|| Error::new("no playlist"))?;
        let playlist = format!("{home}{track}");
        let list = text(&get(arena, 9, &playlist).await?.body);
        let last = list.lines().rfind(|line| !line.starts_with('#'));
        let (base, file) = last
            .and_then(|line| line.rsplit_once('/'))
            .unwrap_or_default();
        let last = file
            .strip_suffix(".m4s")
            .and_then(|number| number.parse().ok());
        Ok(Self {
            index: format!("{home}index.m3u8"),
            playlist,
            base: format!("/{}/", base.trim_start_matches("../")),
            last: last.ok_or_else(|| Error::new("no segment"))?,
        })
    }

    /// The last whole segment.
    pub(super) fn segment(&self) -> String {
        self.ahead(0)
    }

    /// The segment so many behind the last whole one.
    pub(super) fn ahead(&self, count: u64) -> String {
        format!("{}{}.m4s", self.base, self.last + count)
    }

    /// Another file beside the segments.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}
