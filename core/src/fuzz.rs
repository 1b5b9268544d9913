//! The body of this crate's fuzz target: it takes any bytes and checks what must
//! hold for all of them. The normal tests run it too, on what is committed for
//! it in `fuzz/`, so it cannot rot.
#![expect(
    clippy::unwrap_used,
    reason = "what must hold and does not is a finding"
)]

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use crate::{ByteSize, HumanDuration, StreamKey};

/// What people and URLs write: stream keys, durations and sizes.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = StreamKey::parse(text) {
        check_key(&key);
    }
    // As a protocol carries it: in two parts.
    if let Some((app, name)) = text.split_once('\n')
        && let Ok(key) = StreamKey::from_parts(app, name)
    {
        check_key(&key);
    }
    reads_back::<HumanDuration>(text);
    reads_back::<ByteSize>(text);
}

/// A key stands in a URL and below a folder, and is the same when it comes back.
fn check_key(key: &StreamKey) {
    for part in [key.app(), key.name()] {
        assert!(!part.is_empty() && part.len() <= StreamKey::MAX_PART);
    }
    assert_eq!(key.as_str(), format!("{}/{}", key.app(), key.name()));
    assert_eq!(StreamKey::parse(key.as_str()).as_ref(), Ok(key));
    let url = key.url_path();
    assert_eq!(StreamKey::parse(&url).as_ref(), Ok(key));
    let uri: http::Uri = format!("/{url}?x").parse().unwrap();
    assert_eq!(uri.path().strip_prefix('/'), Some(&*url));
    let components: Vec<Component<'_>> = Path::new(key.as_str()).components().collect();
    let names = [key.app(), key.name()].map(|part| Component::Normal(part.as_ref()));
    assert_eq!(components, names);
}

/// What is read is written so that it is read again as the same.
fn reads_back<T: FromStr<Err: fmt::Debug + PartialEq> + fmt::Display + fmt::Debug + PartialEq>(
    text: &str,
) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(&value));
    }
}
