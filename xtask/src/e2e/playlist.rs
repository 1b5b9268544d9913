//! HLS playlists as a test reads them: only what the scenarios judge, written
//! apart from the server's own code so that both are not wrong together.

use crate::http;
use crate::process::{Failure, Result, ensure};

/// A multivariant playlist.
pub(crate) struct Multivariant {
    /// Paths of the media playlists: variants first, then renditions.
    pub(crate) media: Vec<String>,
}

/// A media playlist.
#[derive(Debug, Default)]
pub(crate) struct Media {
    pub(crate) target_duration: u32,
    pub(crate) sequence: u64,
    pub(crate) discontinuity_sequence: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: String,
    /// The path of its initialization section.
    pub(crate) map: String,
    /// In seconds.
    pub(crate) duration: f64,
    /// EXT-X-DISCONTINUITY stands before it.
    pub(crate) discontinuity: bool,
}

impl Multivariant {
    pub(crate) fn fetch(server: &str, path: &str) -> Result<Self> {
        let text = http::get(server, path)?.text();
        let mut variants = Vec::new();
        let mut renditions = Vec::new();
        for line in lines(&text)? {
            if let Some(attributes) = line.strip_prefix("#EXT-X-MEDIA:") {
                renditions.extend(uri(attributes).map(|it| resolve(path, it)));
            } else if !line.starts_with('#') {
                variants.push(resolve(path, line));
            }
        }
        ensure!(!variants.is_empty(), "{path} lists no variant:\n{text}");
        variants.extend(renditions);
        variants.dedup();
        Ok(Self { media: variants })
    }
}

impl Media {
    pub(crate) fn fetch(server: &str, path: &str) -> Result<Self> {
        let text = http::get(server, path)?.text();
        Self::parse(path, &text).map_err(|error| Failure::new(format!("{path}: {error}:\n{text}")))
    }

    fn parse(path: &str, text: &str) -> Result<Self> {
        let mut playlist = Self::default();
        let (mut map, mut duration, mut discontinuity) = (String::new(), None, false);
        for line in lines(text)? {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            match tag {
                "#EXT-X-TARGETDURATION" => playlist.target_duration = number(value)?,
                "#EXT-X-MEDIA-SEQUENCE" => playlist.sequence = number(value)?,
                "#EXT-X-DISCONTINUITY-SEQUENCE" => playlist.discontinuity_sequence = number(value)?,
                "#EXT-X-DISCONTINUITY" => discontinuity = true,
                "#EXT-X-MAP" => map = uri(value).map(|it| resolve(path, it)).unwrap_or_default(),
                "#EXTINF" => duration = Some(number(value.split(',').next().unwrap_or_default())?),
                "#EXT-X-ENDLIST" => playlist.ended = true,
                _ if line.starts_with('#') => {}
                _ => {
                    let Some(duration) = duration.take() else {
                        return Err(Failure::new(format!("{line} has no duration")));
                    };
                    let discontinuity = std::mem::take(&mut discontinuity);
                    let (path, map) = (resolve(path, line), map.clone());
                    playlist.segments.push(Segment {
                        path,
                        map,
                        duration,
                        discontinuity,
                    });
                }
            }
        }
        Ok(playlist)
    }

    /// What must hold in each playlist: the number in each segment's URL is its media
    /// sequence, and no duration rounds to more than the target.
    pub(crate) fn check(&self) -> Result {
        for (segment, number) in self.segments.iter().zip(self.sequence..) {
            ensure!(
                segment.path.ends_with(&format!("/{number}.m4s")),
                "the segment with the media sequence {number} is {}",
                segment.path
            );
            ensure!(
                segment.duration.round() <= f64::from(self.target_duration),
                "segment {number} lasts {} s, the target duration is {}",
                segment.duration,
                self.target_duration
            );
        }
        Ok(())
    }

    /// The session in the URLs of its segments: `/cmaf/APP/NAME/{session}/…`.
    pub(crate) fn session(&self) -> Result<String> {
        let mut sessions = self
            .segments
            .iter()
            .map(|it| it.path.split('/').nth(4).unwrap_or_default());
        let first = sessions.next().unwrap_or_default();
        ensure!(!first.is_empty(), "the playlist lists no segment");
        ensure!(
            sessions.all(|it| it == first),
            "one playlist names two sessions"
        );
        Ok(first.to_owned())
    }
}

fn lines(text: &str) -> Result<impl Iterator<Item = &str>> {
    ensure!(text.starts_with("#EXTM3U"), "no playlist: {text}");
    Ok(text
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty()))
}

fn uri(attributes: &str) -> Option<&str> {
    let (_, rest) = attributes.split_once("URI=\"")?;
    Some(rest.split_once('"')?.0)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.trim()
        .parse()
        .map_err(|_| Failure::new(format!("`{text}` is no number")))
}

/// The path that `uri` means in the document at `base`.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in uri.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_addresses_are_resolved() {
        for (uri, path) in [
            ("/cmaf/a", "/cmaf/a"),
            ("v0.m3u8", "/hls/live/cam/v0.m3u8"),
            ("./v0.m3u8", "/hls/live/cam/v0.m3u8"),
            ("../../../cmaf/x/1.m4s", "/cmaf/x/1.m4s"),
        ] {
            assert_eq!(resolve("/hls/live/cam/index.m3u8", uri), path);
        }
    }

    #[test]
    fn a_media_playlist_is_read() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
            #EXT-X-MAP:URI=\"/cmaf/a/b/s/v0/0.init.mp4\"\n#EXTINF:2.000,\n/cmaf/a/b/s/v0/7.m4s\n\
            #EXT-X-DISCONTINUITY\n#EXTINF:1.5,\n/cmaf/a/b/s/v0/8.m4s\n";
        let playlist = Media::parse("/hls/a/b/v0.m3u8", text).unwrap();
        playlist.check().unwrap();
        assert_eq!(playlist.session().unwrap(), "s");
        assert_eq!(
            playlist
                .segments
                .iter()
                .map(|it| it.discontinuity)
                .collect::<Vec<_>>(),
            [false, true]
        );
    }
}
