//! Records what an RTMP publisher sends, byte for byte: the captures in
//! `tests/captures/` were made with it.
//!
//! `cargo run -p rillcast-ingest-rtmp --example rtmp-capture -- 127.0.0.1:19350 out.rtmp`
//!
//! It accepts one connection and whatever that wants to publish, and is an
//! example of driving [`Session`] by hand, here with blocking sockets.

#![expect(clippy::print_stderr, reason = "a command line tool")]

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

use rillcast_ingest_rtmp::proto::{Event, Session, SessionLimits};

/// Captures belong into the repository: a larger one is a mistake.
const LARGEST: usize = 100 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: rtmp-capture ADDRESS FILE".into());
    };
    let listener = TcpListener::bind(address)?;
    let (mut socket, peer) = listener.accept()?;
    let mut file = File::create(path)?;
    let mut session = Session::new(SessionLimits::default(), Instant::now());
    let mut buffer = vec![0; 64 << 10];
    let (mut recorded, mut messages) = (0, 0_u64);
    loop {
        let count = socket.read(&mut buffer)?;
        let mut input = buffer.get(..count).unwrap_or_default();
        recorded += count;
        if count == 0 || recorded > LARGEST {
            break;
        }
        file.write_all(input)?;
        let now = Instant::now();
        while let Some(event) = session.handle_input(&mut input, now)? {
            match event {
                Event::Media(_) => messages += 1,
                Event::Publish(request) => {
                    eprintln!("{peer}: {request:?}");
                    session.accept(now);
                }
                other => eprintln!("{peer}: {other:?}"),
            }
        }
        while let Some(bytes) = session.poll_transmit() {
            socket.write_all(&bytes)?;
        }
    }
    eprintln!(
        "{recorded} bytes, {messages} messages of media, {:?}",
        session.ignored()
    );
    Ok(())
}
