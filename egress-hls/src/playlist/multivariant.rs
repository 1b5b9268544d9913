//! The multivariant playlist: what there is to choose from (RFC 8216 section 4.3.4).
//!
//! Everything in it is measured or parsed. Audio and video are separate tracks,
//! so audio is a rendition group that every video variant names; a stream
//! without video lists its audio as the variant itself.

use std::collections::HashMap;
use std::fmt::Write as _;

use m3u8_rs::{
    AlternativeMedia, AlternativeMediaType, MasterPlaylist, QuotedOrUnquoted, Resolution,
    VariantStream,
};
use rillcast_core::{Codec, Colour, DynamicRange, FrameRate, MediaKind};
use rillcast_media::cmaf::{Snapshot, TrackWindow};

use super::{VERSION, VERSION_TS_MULTIVARIANT};

/// What the playlist says of one track.
#[derive(Clone, Debug)]
pub(crate) struct Rendition {
    /// The track's name in URLs.
    pub(crate) name: String,
    pub(crate) kind: MediaKind,
    pub(crate) codec: Codec,
    /// RFC 6381 codec strings of every configuration that is listed.
    pub(crate) codecs: Vec<String>,
    /// Bits per second of the heaviest run of segments about a target duration long.
    pub(crate) peak: u64,
    /// Bits per second of all segments.
    pub(crate) average: u64,
    /// Width and height in pixels; 0 if unknown.
    pub(crate) size: (u32, u32),
    pub(crate) frame_rate: Option<FrameRate>,
    /// Of pictures whose colours are described.
    pub(crate) range: Option<DynamicRange>,
    /// 0 if unknown.
    pub(crate) channels: u16,
    pub(crate) language: Option<String>,
    /// What the publisher calls it.
    pub(crate) label: Option<String>,
}

impl Rendition {
    fn of(track: &TrackWindow) -> Self {
        let listed = track.listed();
        let mut codecs: Vec<String> = Vec::new();
        for init in track.inits.iter() {
            let used = listed.iter().any(|segment| segment.config == init.id);
            let codec = &init.track.codec_string;
            if used && !codecs.contains(codec) {
                codecs.push(codec.clone());
            }
        }
        let video = track.track.video();
        let audio = track.track.audio();
        Self {
            name: track.name.to_string(),
            kind: track.track.kind(),
            codec: track.track.codec,
            codecs,
            peak: track.bit_rate.peak.max(track.bit_rate.average),
            average: track.bit_rate.average,
            size: video.map_or((0, 0), |video| (video.width, video.height)),
            frame_rate: track
                .frame_rate
                .or_else(|| video.and_then(|video| video.frame_rate)),
            range: video.and_then(|video| video.colour.map(Colour::dynamic_range)),
            channels: audio.map_or(0, |audio| audio.channels),
            language: track.track.language.clone(),
            label: track.track.label.clone(),
        }
    }
}

impl Rendition {
    /// The same with the headers of MPEG-TS: four bytes in each packet; for each picture,
    /// and for the ten headers of a second of sound, what they take and half a packet of
    /// stuffing.
    fn in_transport(&self) -> Self {
        let headers = match self.kind {
            MediaKind::Video => {
                let rate = self.frame_rate.map_or(60.0, FrameRate::as_f64);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate of pictures is small and above zero"
                )]
                let rate = rate.ceil() as u64;
                rate.saturating_mul(8 * 130)
            }
            _ => 16_000,
        };
        let more = |rate: u64| rate + rate / 32 + headers;
        Self {
            peak: more(self.peak),
            average: more(self.average),
            ..self.clone()
        }
    }
}

/// The renditions that can be played: those with listed segments, in the
/// window's order.
pub(crate) fn renditions(snapshot: &Snapshot) -> Vec<Rendition> {
    let tracks = snapshot.tracks.iter();
    let listed = tracks.filter(|track| !track.listed().is_empty());
    listed.map(|track| Rendition::of(track)).collect()
}

/// Writes the playlist; `session` is the folder of the media playlists.
/// `None` if there is nothing to play.
pub(crate) fn render(session: &str, renditions: &[Rendition]) -> Option<String> {
    let of = |kind| renditions.iter().filter(move |track| track.kind == kind);
    // Renditions of a group share their codec, or CODECS would be wrong for some.
    let mut groups: Vec<(Codec, Vec<&Rendition>)> = Vec::new();
    for audio in of(MediaKind::Audio) {
        match groups.iter_mut().find(|(codec, _)| *codec == audio.codec) {
            Some((_, group)) => group.push(audio),
            None => groups.push((audio.codec, vec![audio])),
        }
    }
    let mut playlist = MasterPlaylist {
        version: Some(usize::from(VERSION)),
        ..MasterPlaylist::default()
    };
    let has_video = of(MediaKind::Video).next().is_some();
    for (codec, group) in &groups {
        let id = group_id(*codec);
        // A stream of one audio track and no video needs no group.
        let grouped = has_video || group.len() > 1;
        if grouped {
            playlist.alternatives.extend(media(session, &id, group));
        }
        if !has_video {
            let mut variant = group.first().map(|first| variant(session, first, &[]))?;
            variant.audio = grouped.then_some(id);
            playlist.variants.push(variant);
        }
    }
    for video in of(MediaKind::Video) {
        if groups.is_empty() {
            playlist.variants.push(variant(session, video, &[]));
        }
        for (codec, group) in &groups {
            let mut variant = variant(session, video, group);
            variant.audio = Some(group_id(*codec));
            playlist.variants.push(variant);
        }
    }
    written(&playlist)
}

/// Writes the playlist of transport streams: those that are named after one of
/// `leading`; in those of video lies the audio of `companion` besides.
pub(crate) fn transports(
    session: &str,
    renditions: &[Rendition],
    leading: &[&str],
    companion: Option<&str>,
) -> Option<String> {
    let renditions: Vec<Rendition> = renditions.iter().map(Rendition::in_transport).collect();
    let leads = |track: &&Rendition| leading.contains(&track.name.as_str());
    let leading = renditions.iter().filter(leads);
    let (videos, others): (Vec<_>, Vec<_>) = leading.partition(|it| it.kind == MediaKind::Video);
    let together = renditions
        .iter()
        .find(|track| Some(track.name.as_str()) == companion);
    // What can be chosen from shares its codec, or CODECS would be wrong for some.
    let first = together.or(others.first().copied());
    let alike = |track: &&Rendition| first.is_some_and(|first| first.codec == track.codec);
    let choice: Vec<&Rendition> = together
        .into_iter()
        .chain(others.iter().copied().filter(alike))
        .collect();
    let mut playlist = MasterPlaylist {
        version: Some(usize::from(VERSION_TS_MULTIVARIANT)),
        ..MasterPlaylist::default()
    };
    let group = first.map(|first| group_id(first.codec));
    let group = group.filter(|_| choice.len() > 1);
    if let Some(id) = &group {
        let mut media = media(session, id, &choice);
        for (media, track) in media.iter_mut().zip(&choice) {
            let inside = Some(track.name.as_str()) == companion;
            media.uri = (!inside).then(|| transport_uri(session, &track.name));
        }
        playlist.alternatives = media;
    }
    let of_video = videos.iter().map(|video| (*video, together));
    let of_audio = others.first().filter(|_| videos.is_empty());
    for (track, with) in of_video.chain(of_audio.map(|audio| (*audio, None))) {
        let with: Vec<&Rendition> = with.into_iter().collect();
        playlist.variants.push(VariantStream {
            uri: transport_uri(session, &track.name),
            audio: group.clone(),
            ..variant(session, track, &with)
        });
        // Whoever takes another sound gets this one besides.
        let heaviest = choice
            .iter()
            .filter(|it| Some(it.name.as_str()) != companion);
        let heaviest = heaviest.map(|it| it.peak).max().filter(|_| group.is_some());
        if let (Some(variant), Some(more)) = (playlist.variants.last_mut(), heaviest)
            && track.kind == MediaKind::Video
        {
            variant.bandwidth += more;
        }
    }
    written(&playlist)
}

/// The text of a playlist; `None` if there is nothing to play.
fn written(playlist: &MasterPlaylist) -> Option<String> {
    if playlist.variants.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    // Writing to memory does not fail.
    playlist.write_to(&mut text).ok()?;
    String::from_utf8(text).ok()
}

/// EXT-X-STREAM-INF of a track together with the heaviest of its audio group.
fn variant(session: &str, track: &Rendition, audio: &[&Rendition]) -> VariantStream {
    let heaviest = |rate: fn(&Rendition) -> u64| audio.iter().map(|audio| rate(audio)).max();
    let peak = track.peak + heaviest(|audio| audio.peak).unwrap_or(0);
    let average = track.average + heaviest(|audio| audio.average).unwrap_or(0);
    let (width, height) = track.size;
    VariantStream {
        uri: uri(session, &track.name),
        bandwidth: peak.max(1),
        average_bandwidth: Some(average.max(1)),
        codecs: codecs(std::iter::once(track).chain(audio.iter().copied())),
        resolution: (width > 0 && height > 0).then(|| Resolution {
            width: u64::from(width),
            height: u64::from(height),
        }),
        frame_rate: track.frame_rate.map(thousandths),
        other_attributes: track.range.map(video_range),
        ..VariantStream::default()
    }
}

/// EXT-X-MEDIA of every track of an audio group.
fn media(session: &str, id: &str, group: &[&Rendition]) -> Vec<AlternativeMedia> {
    let mut names: Vec<String> = Vec::new();
    let of = |(index, track): (usize, &&Rendition)| {
        let language = track.language.clone().filter(|language| quotable(language));
        let label = track.label.as_deref().filter(|label| quotable(label));
        let name = label.or(language.as_deref()).unwrap_or("Audio");
        let name = unique(name, &names);
        names.push(name.clone());
        AlternativeMedia {
            media_type: AlternativeMediaType::Audio,
            uri: Some(uri(session, &track.name)),
            group_id: id.to_owned(),
            language,
            name,
            // The first is what plays unless somebody chooses.
            default: index == 0,
            autoselect: true,
            channels: (track.channels > 0).then(|| track.channels.to_string()),
            ..AlternativeMedia::default()
        }
    };
    group.iter().enumerate().map(of).collect()
}

fn uri(session: &str, track: &str) -> String {
    format!("{session}/{track}.m3u8")
}

fn transport_uri(session: &str, track: &str) -> String {
    format!("{session}/{track}.ts.m3u8")
}

fn group_id(codec: Codec) -> String {
    let code = codec.code().map(char::from);
    let plain = code.iter().filter(|c| c.is_ascii_alphanumeric());
    format!("audio-{}", plain.collect::<String>())
}

/// CODECS: each codec string once. `None` if one is unknown, since a list that
/// leaves one out makes players fail later instead of asking the bytes.
fn codecs<'a>(tracks: impl Iterator<Item = &'a Rendition>) -> Option<String> {
    let mut list = String::new();
    let mut seen: Vec<&str> = Vec::new();
    for track in tracks {
        if track.codecs.is_empty() {
            return None;
        }
        for codec in &track.codecs {
            if codec.is_empty() || !quotable(codec) {
                return None;
            }
            if !seen.contains(&codec.as_str()) {
                let comma = if seen.is_empty() { "" } else { "," };
                let _ = write!(list, "{comma}{codec}");
                seen.push(codec);
            }
        }
    }
    Some(list)
}

/// VIDEO-RANGE (draft-pantos-hls-rfc8216bis section 4.4.6.2): without it, players
/// take pictures for those that displays have always had.
fn video_range(range: DynamicRange) -> HashMap<String, QuotedOrUnquoted> {
    let value = match range {
        DynamicRange::Pq => "PQ",
        DynamicRange::Hlg => "HLG",
        _ => "SDR",
    };
    let value = QuotedOrUnquoted::Unquoted(value.to_owned());
    HashMap::from([("VIDEO-RANGE".to_owned(), value)])
}

/// FRAME-RATE: three decimals (RFC 8216 section 4.3.4.2).
fn thousandths(rate: FrameRate) -> f64 {
    (rate.as_f64() * 1_000.0).round() / 1_000.0
}

/// Whether `text` may stand in a quoted string of an attribute (RFC 8216 section 4.2).
fn quotable(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '"' || c.is_control())
}

/// `wanted`, or with a number behind it if that name is taken: NAME must differ
/// within a group.
fn unique(wanted: &str, taken: &[String]) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{wanted} {number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use m3u8_rs::{Playlist, parse_playlist_res};

    use super::*;

    fn video(name: &str) -> Rendition {
        Rendition {
            name: name.to_owned(),
            kind: MediaKind::Video,
            codec: Codec::new(*b"avc1"),
            codecs: vec!["avc1.64001f".to_owned()],
            peak: 3_000_000,
            average: 2_500_000,
            size: (1_280, 720),
            frame_rate: FrameRate::new(30_000, 1_001),
            range: None,
            channels: 0,
            language: None,
            label: None,
        }
    }

    fn audio(name: &str, language: Option<&str>) -> Rendition {
        Rendition {
            name: name.to_owned(),
            kind: MediaKind::Audio,
            codec: Codec::new(*b"mp4a"),
            codecs: vec!["mp4a.40.2".to_owned()],
            peak: 130_000,
            average: 128_000,
            size: (0, 0),
            frame_rate: None,
            range: None,
            channels: 2,
            language: language.map(str::to_owned),
            label: None,
        }
    }

    fn read(renditions: &[Rendition]) -> MasterPlaylist {
        let text = render("s1", renditions).unwrap();
        match parse_playlist_res(text.as_bytes()) {
            Ok(Playlist::MasterPlaylist(playlist)) => playlist,
            other => panic!("{other:?} of {text}"),
        }
    }

    #[test]
    fn audio_lies_in_the_transport_stream_of_video_and_others_beside_it() {
        let all = [
            video("v0"),
            audio("a1", Some("de")),
            audio("a3", Some("en")),
        ];
        let text = transports("s1", &all, &["v0", "a3"], Some("a1")).unwrap();
        let want = "#EXTM3U\n\
            #EXT-X-VERSION:4\n\
            #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio-mp4a\",LANGUAGE=\"de\",NAME=\"de\",\
            DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"s1/a3.ts.m3u8\",GROUP-ID=\"audio-mp4a\",\
            LANGUAGE=\"en\",NAME=\"en\",AUTOSELECT=YES,CHANNELS=\"2\"\n\
#EXT-X-STREAM-INF:BANDWIDTH=3425074,AVERAGE-BANDWIDTH=2757325,\
            CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.97,\
            AUDIO=\"audio-mp4a\"\ns1/v0.ts.m3u8\n";
        assert_eq!(text, want);

        let text = transports("s1", &all[..2], &["v0"], Some("a1")).unwrap();
        assert!(!text.contains("EXT-X-MEDIA"), "{text}");
        let text = transports("s1", &all[1..2], &["a1"], None).unwrap();
        assert!(text.ends_with("\ns1/a1.ts.m3u8\n"), "{text}");
        assert_eq!(transports("s1", &all, &[], None), None);
    }

    #[test]
    fn video_with_audio_is_a_variant_and_a_group() {
        let text = render("s1", &[video("v0"), audio("a1", None)]).unwrap();
        let want = "#EXTM3U\n\
            #EXT-X-VERSION:6\n\
            #EXT-X-MEDIA:TYPE=AUDIO,URI=\"s1/a1.m3u8\",GROUP-ID=\"audio-mp4a\",NAME=\"Audio\",\
            DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n\
            #EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2628000,\
            CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.97,\
            AUDIO=\"audio-mp4a\"\n\
            s1/v0.m3u8\n";
        assert_eq!(text, want);
    }

    #[test]
    fn video_alone_and_audio_alone_name_no_group() {
        let playlist = read(&[video("v0")]);
        assert!(playlist.alternatives.is_empty());
        let variant = &playlist.variants[0];
        assert_eq!((&*variant.uri, &variant.audio), ("s1/v0.m3u8", &None));
        assert_eq!(variant.codecs.as_deref(), Some("avc1.64001f"));

        let playlist = read(&[audio("a0", Some("de"))]);
        assert!(playlist.alternatives.is_empty());
        let variant = &playlist.variants[0];
        assert_eq!((&*variant.uri, &variant.audio), ("s1/a0.m3u8", &None));
        assert_eq!(variant.codecs.as_deref(), Some("mp4a.40.2"));
        assert_eq!((variant.resolution, variant.frame_rate), (None, None));
        assert_eq!(variant.bandwidth, 130_000);
    }

    #[test]
    fn languages_name_renditions_and_names_differ() {
        let tracks = [
            video("v0"),
            audio("a1", Some("de")),
            audio("a2", Some("de")),
            audio("a3", None),
            audio("a4", Some("e\"n")),
        ];
        let playlist = read(&tracks);
        let media = &playlist.alternatives;
        let names: Vec<_> = media.iter().map(|media| media.name.as_str()).collect();
        assert_eq!(names, ["de", "de 2", "Audio", "Audio 2"]);
        let languages: Vec<_> = media
            .iter()
            .map(|media| media.language.as_deref())
            .collect();
        assert_eq!(languages, [Some("de"), Some("de"), None, None]);
        let defaults: Vec<_> = media.iter().map(|media| media.default).collect();
        assert_eq!(defaults, [true, false, false, false]);
    }

    #[test]
    fn what_the_publisher_calls_a_track_names_its_rendition() {
        let mut commentary = audio("a2", Some("en"));
        commentary.label = Some("Commentary".to_owned());
        let mut broken = audio("a3", Some("en"));
        broken.label = Some("a \"quoted\" one".to_owned());
        let playlist = read(&[video("v0"), audio("a1", Some("en")), commentary, broken]);
        let media = &playlist.alternatives;
        let names: Vec<_> = media.iter().map(|media| media.name.as_str()).collect();
        assert_eq!(names, ["en", "Commentary", "en 2"]);
    }

    #[test]
    fn audio_alone_in_two_languages_is_a_group() {
        let playlist = read(&[audio("a0", Some("de")), audio("a1", Some("en"))]);
        assert_eq!(playlist.alternatives.len(), 2);
        assert_eq!(playlist.variants.len(), 1);
        assert_eq!(playlist.variants[0].audio.as_deref(), Some("audio-mp4a"));
        assert_eq!(playlist.variants[0].uri, "s1/a0.m3u8");
    }

    #[test]
    fn each_audio_codec_is_a_group_and_each_video_is_offered_with_each() {
        let mut opus = audio("a2", None);
        opus.codec = Codec::new(*b"Opus");
        opus.codecs = vec!["Opus".to_owned()];
        opus.peak = 96_000;
        let playlist = read(&[video("v0"), video("v3"), audio("a1", None), opus]);
        let variants: Vec<_> = playlist
            .variants
            .iter()
            .map(|variant| {
                let group = variant.audio.as_deref().unwrap_or_default();
                let codecs = variant.codecs.as_deref().unwrap_or_default();
                (&*variant.uri, group, codecs, variant.bandwidth)
            })
            .collect();
        let aac = ("audio-mp4a", "avc1.64001f,mp4a.40.2", 3_130_000);
        let opus = ("audio-Opus", "avc1.64001f,Opus", 3_096_000);
        let want = ["s1/v0.m3u8", "s1/v3.m3u8"]
            .map(|uri| [(uri, aac.0, aac.1, aac.2), (uri, opus.0, opus.1, opus.2)]);
        assert_eq!(variants, want.concat());
    }

    #[test]
    fn codecs_name_every_listed_configuration_or_are_left_out() {
        let mut changed = video("v0");
        changed.codecs.push("avc1.42c01e".to_owned());
        let playlist = read(&[changed, audio("a1", None)]);
        let codecs = playlist.variants[0].codecs.as_deref();
        assert_eq!(codecs, Some("avc1.64001f,avc1.42c01e,mp4a.40.2"));

        let mut unknown = audio("a1", None);
        unknown.codecs = vec![String::new()];
        let playlist = read(&[video("v0"), unknown]);
        assert_eq!(playlist.variants[0].codecs, None);
    }

    #[test]
    fn what_is_unknown_is_not_said() {
        let mut plain = video("v0");
        plain.size = (0, 0);
        plain.frame_rate = None;
        let mut silent = audio("a1", None);
        silent.channels = 0;
        let text = render("s1", &[plain, silent]).unwrap();
        for attribute in ["RESOLUTION", "FRAME-RATE", "CHANNELS", "LANGUAGE"] {
            assert!(!text.contains(attribute), "{attribute} in {text}");
        }
        assert_eq!(render("s1", &[]), None);
    }

    #[test]
    fn the_dynamic_range_is_said_where_colours_are_described() {
        for (transfer, want) in [(1, "SDR"), (14, "SDR"), (16, "PQ"), (18, "HLG")] {
            let mut track = video("v0");
            track.range = Some(Colour::new(9, transfer, 9, false).dynamic_range());
            let text = render("s1", &[track, audio("a1", None)]).unwrap();
            assert!(text.contains(&format!(",VIDEO-RANGE={want}")), "{text}");
            assert_eq!(text.matches("VIDEO-RANGE").count(), 1);
        }
        let text = render("s1", &[video("v0")]).unwrap();
        assert!(!text.contains("VIDEO-RANGE"));
    }

    #[test]
    fn frame_rates_have_three_decimals() {
        for (num, den, want) in [
            (25, 1, "FRAME-RATE=25,"),
            (24_000, 1_001, "FRAME-RATE=23.976,"),
            (60_000, 1_001, "FRAME-RATE=59.94,"),
        ] {
            let mut track = video("v0");
            track.frame_rate = FrameRate::new(num, den);
            let text = render("s1", &[track, audio("a1", None)]).unwrap();
            assert!(text.contains(want), "{want} in {text}");
        }
    }
}
