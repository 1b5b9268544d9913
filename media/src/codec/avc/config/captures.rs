//! Configuration records as encoders wrote them, by encoder and settings; all
//! from FFmpeg 5.1 with x264 (core 164) into FLV.

/// `-preset veryfast -r 30000/1001`, 1920x1080.
pub(crate) const HIGH_1080: &str =
    "01640028ffe1001967640028acd940780227e5c04400000fa40003a9803c60c65801000468ef8fcbfdf8f800";
/// `-profile:v baseline`, 640x360.
pub(crate) const BASELINE: &str =
    "0142c01effe100196742c01ed900a02ff97011000003000100000300320f162e4801000568cb83cb20";
/// `-profile:v main -flags +ilme+ildct -vf setsar=64/45`, 720x576.
pub(crate) const INTERLACED: &str =
    "014d401effe1001c674d401eeca05a126ffc010000b440000003004000000c87c50a658001000568fba3cb20";
/// `-profile:v high422 -pix_fmt yuv422p10le`, BT.2020 and PQ, 1280x720.
pub(crate) const HIGH_422: &str = "017a0020ffe1001e677a0020b6cd9405005bb016a12201280000030008000003032078c18cb001000668ebe3cb22c0fefafa00";
/// `-profile:v high444 -pix_fmt yuv444p`, scaling matrix "jvt", 322x242.
pub(crate) const HIGH_444: &str = "01f4000dffe1001a67f4000d919b282a10f1f1f808800000030080000019078a14cb01000868ebe3c44c000440fff8f800";
/// `-pix_fmt gray`, 96x64.
pub(crate) const GRAY: &str =
    "0164000affe100176764000af365189b016c800000030080000019078912cb01000668ebe3cb22c0fcf8f800";
/// `-pix_fmt yuvj420p`, BT.709 at full range, 1280x720.
pub(crate) const FULL_RANGE: &str = "0164001fffe1001c6764001facd9405005bb016e020202800000030080000019078c18cb01000668ebe3cb22c0fdf8f800";
/// `-x264opts nal-hrd=cbr:aud=1`, 1280x720.
pub(crate) const HRD: &str = "0164001fffe100246764001facd9405005bb01100000030010000003032604000f424001e84e4c30078c18cb01000568ebecb22cfdf8f800";
/// `-r 24000/1001`, 426x240.
pub(crate) const FILM: &str =
    "01640015ffe1001867640015acd941b1fe4f011000003e90000bb800f162d96001000668ebe3cb22c0fdf8f800";
/// `-level 3.0 -preset ultrafast`, 1920x1080: far above the level.
pub(crate) const LOW_LEVEL: &str =
    "0142c01effe100196742c01eda01e0089f97011000000300100000030320f162ea01000468ce0fc8";

pub(crate) const ALL: [&str; 10] = [
    HIGH_1080, BASELINE, INTERLACED, HIGH_422, HIGH_444, GRAY, FULL_RANGE, HRD, FILM, LOW_LEVEL,
];

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|[a, b]| digit(a) << 4 | digit(b))
        .collect()
}

/// The first sequence parameter set of a record, read by hand.
pub(crate) fn sps(hex: &str) -> Vec<u8> {
    let record = bytes(hex);
    let len = usize::from(u16::from_be_bytes([record[6], record[7]]));
    record[8..8 + len].to_vec()
}

/// The first picture parameter set of a record, read by hand.
pub(crate) fn pps(hex: &str) -> Vec<u8> {
    let record = bytes(hex);
    let at = 8 + usize::from(u16::from_be_bytes([record[6], record[7]])) + 1;
    let len = usize::from(u16::from_be_bytes([record[at], record[at + 1]]));
    record[at + 2..at + 2 + len].to_vec()
}
