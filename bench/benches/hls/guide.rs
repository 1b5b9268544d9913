//! The way through the playlists, as far as these players need it.

use std::time::Duration;

use rillcast_bench::{Error, Result, Viewer, resolve};
use tokio::time::{Instant, sleep};

use super::KEY;

/// How long a stream may take to have its first segments.
const BEGIN: Duration = Duration::from_secs(20);

/// The media playlists of the stream, pictures first.
pub(crate) async fn playlists(viewer: &mut Viewer) -> Result<Vec<String>> {
    let index = format!("/hls/{KEY}/index.m3u8");
    let text = text(viewer, &index).await?;
    let mut found: Vec<String> = text
        .lines()
        .skip_while(|line| !line.starts_with("#EXT-X-STREAM-INF"))
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| resolve(&index, line))
        .take(1)
        .collect();
    let media = text
        .lines()
        .filter(|line| line.starts_with("#EXT-X-MEDIA:"));
    found.extend(media.filter_map(uri).map(|uri| resolve(&index, uri)));
    if found.len() < 2 {
        return Err(Error::new("the multivariant playlist names too few tracks"));
    }
    Ok(found)
}

/// The same, waited for.
pub(crate) async fn settled(viewer: &mut Viewer, segments: usize) -> Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        if let Ok(found) = playlists(viewer).await {
            let mut least = usize::MAX;
            for playlist in &found {
                least = least.min(self::segments(viewer, playlist).await?.len());
            }
            if least >= segments {
                return Ok(found);
            }
        }
        if begun.elapsed() > BEGIN + Duration::from_secs(3) * u32::try_from(segments).unwrap_or(9) {
            return Err(Error::new("the stream does not begin"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The complete segments that a playlist lists, the oldest first.
pub(crate) async fn segments(viewer: &mut Viewer, playlist: &str) -> Result<Vec<String>> {
    Ok(text(viewer, playlist)
        .await?
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| resolve(playlist, line))
        .collect())
}

/// A text that the server has.
pub(crate) async fn text(viewer: &mut Viewer, path: &str) -> Result<String> {
    let mut body = Vec::new();
    viewer.get(path, Some(&mut body)).await?;
    String::from_utf8(body).map_err(Error::of(path))
}

/// The URI attribute of a tag.
pub(crate) fn uri(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("URI=\"")?;
    Some(rest.split_once('"')?.0)
}

/// The segment and the part that stand in the path of a part: `…/N.P.m4s`.
pub(crate) fn numbers(path: &str) -> Option<(u64, u32)> {
    let file = path.rsplit('/').next()?;
    let mut parts = file.split('.');
    let segment = parts.next()?.parse().ok()?;
    Some((segment, parts.next()?.parse().ok()?))
}
