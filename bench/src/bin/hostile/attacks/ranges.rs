//! Ranges and conditions of every shape, on real files: never more bytes than
//! there are, never an error of the server's.

use rillcast_bench::Result;

use crate::arena::{Arena, ensure};
use crate::attacks::live::Live;
use crate::http::{get, get_with};

pub(crate) async fn run(arena: Arena) -> Result<String> {
    let live = Live::find(&arena, 2).await?;
    let path = live.segment();
    let whole = get(&arena, 1, &path).await?;
    ensure!(
        whole.status == 200 && whole.body.len() > 1_000,
        "{path}: {}",
        whole.status
    );
    let tag = whole.header("etag").unwrap_or("\"none\"").to_owned();
    let length = whole.body.len();
    let many: String = (0..3_000).map(|it| format!("{it}-{it},")).collect();
    let overlapping = "0-,".repeat(3_000);
    let ranges = [
        "bytes=0-0",
        "bytes=-1",
        "bytes=0-",
        "bytes=5-4",
        "bytes=-0",
        "bytes=--1",
        "bytes=-",
        "bytes=",
        "bytes",
        "bytes=a-b",
        "bytes=0-18446744073709551615",
        "bytes=18446744073709551615-",
        "bytes=99999999999999999999-",
        "bytes=-99999999999999999999",
        "bytes=0-1,2-3",
        "bytes=0-,0-,0-",
        "lines=0-1",
        "bytes=0x0-0x9",
        "bytes= 0 - 1 ",
        "BYTES=0-1",
        "bytes=0-1;x",
        "bytes=1-1,",
        ",",
        "bytes=,,,,",
    ];
    let mut ranges: Vec<String> = ranges.iter().map(|range| (*range).to_owned()).collect();
    ranges.extend([format!("bytes={many}"), format!("bytes={overlapping}")]);
    ranges.push(format!("bytes={length}-"));
    let mut count = 0;
    for range in &ranges {
        let answer = get_with(&arena, 1, &path, &format!("Range: {range}\r\n")).await?;
        let fits = answer.body.len() <= length;
        ensure!(
            matches!(answer.status, 200 | 206 | 400 | 416 | 431) && fits,
            "{range:.60} was answered {} with {} bytes",
            answer.status,
            answer.body.len()
        );
        if answer.status == 200 {
            ensure!(answer.body == whole.body, "{range:.60}: another segment");
        }
        count += 1;
    }
    let tags: String = (0..2_000).map(|it| format!("\"{it}\", ")).collect();
    let conditions = [
        format!("If-None-Match: {tag}"),
        format!("If-None-Match: W/{tag}"),
        "If-None-Match: *".to_owned(),
        format!("If-None-Match: {tags}{tag}"),
        "If-None-Match: \"".to_owned(),
        "If-None-Match: ,,,".to_owned(),
        "If-Match: \"other\"".to_owned(),
        "If-Modified-Since: Thu, 99 Foo 99999 99:99:99 GMT".to_owned(),
        "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT".to_owned(),
        "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT".to_owned(),
        format!("If-Range: {tag}\r\nRange: bytes=0-9"),
        "If-Range: \"other\"\r\nRange: bytes=0-9".to_owned(),
        "If-Range: \r\nRange: bytes=-9".to_owned(),
        format!("Accept-Encoding: {}", "gzip;q=0.0001, ".repeat(1_500)),
        "Accept-Encoding: gzip;q=nan, *;q=-1".to_owned(),
    ];
    for lines in &conditions {
        for path in [&path, &live.playlist, &live.index] {
            let answer = get_with(&arena, 1, path, &format!("{lines}\r\n")).await?;
            ensure!(
                matches!(answer.status, 200 | 206 | 304 | 400 | 412 | 416 | 431),
                "{path} with {lines:.60} was answered {}",
                answer.status
            );
            count += 1;
        }
    }
    Ok(format!("{count} requests"))
}
