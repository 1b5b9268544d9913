//! Many viewers on one thread.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use acme_egress::check::{Checker, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::Result;
use crate::publisher::age;
use crate::server::{Server, usage};

/// What the viewers saw, and what it cost.
pub(crate) struct Watched {
    /// Of every picture at every viewer, in microseconds.
    pub(crate) ages: Vec<u32>,
    pub(crate) server: Duration,
    pub(crate) own: Duration,
    /// Of the server; replies to the publisher are among them.
    pub(crate) writes: u64,
    pub(crate) faults: Vec<String>,
}

#[derive(Default)]
struct Shared {
    measuring: bool,
    playing: u32,
    ages: Vec<u32>,
    faults: Vec<String>,
    buffer: Vec<u8>,
}

/// Lets `viewers` watch and measures for `time` when all have pictures.
pub(crate) fn watch(
    server: &Server,
    viewers: u32,
    longest_step: u32,
    time: Duration,
) -> Result<Watched> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let shared = Rc::new(RefCell::new(Shared {
        buffer: vec![0; 256 << 10],
        ..Shared::default()
    }));
    let work = async {
        wait_for_stream(server.http).await?;
        for _ in 0..viewers {
            let socket = open(server.http).await?;
            tokio::task::spawn_local(view(socket, longest_step, Rc::clone(&shared)));
        }
        let playing = async {
            while shared.borrow().playing < viewers && shared.borrow().faults.is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, playing)
            .await
            .map_err(|_| "not all viewers play")?;
        // The replays have to be gone.
        sleep(Duration::from_secs(2)).await;
        let own = || usage(std::process::id());
        let before = (server.usage()?, own()?);
        shared.borrow_mut().measuring = true;
        sleep(time).await;
        shared.borrow_mut().measuring = false;
        let after = (server.usage()?, own()?);
        let shared = shared.take();
        Ok(Watched {
            ages: shared.ages,
            server: after.0.cpu.saturating_sub(before.0.cpu),
            own: after.1.cpu.saturating_sub(before.1.cpu),
            writes: after.0.writes - before.0.writes,
            faults: shared.faults,
        })
    };
    runtime.block_on(LocalSet::new().run_until(work))
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn open(address: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(REQUEST.as_bytes()).await?;
    Ok(socket)
}

const REQUEST: &str = "GET /flv/acme/cam.flv HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Until the publisher has come through.
async fn wait_for_stream(address: SocketAddr) -> Result<()> {
    for _ in 0..200 {
        let socket = open(address).await?;
        let mut start = [0; 12];
        socket.readable().await?;
        match socket.try_read(&mut start) {
            Ok(_) if start.ends_with(b"200") => return Ok(()),
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
    Err("the stream does not come".into())
}

async fn view(socket: TcpStream, longest_step: u32, shared: Rc<RefCell<Shared>>) {
    let mut viewer = Viewer {
        response: Response::new(),
        checker: Checker::new(),
        playing: false,
    };
    loop {
        let ready = socket.readable().await;
        let mut shared = shared.borrow_mut();
        let mut buffer = std::mem::take(&mut shared.buffer);
        let read = ready.and_then(|()| socket.try_read(&mut buffer));
        let went = match read {
            Ok(0) => Err("the connection was closed".to_owned()),
            Ok(count) => {
                let bytes = buffer.get(..count).unwrap_or_default();
                viewer.take(bytes, longest_step, &mut shared)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        shared.buffer = buffer;
        if let Err(fault) = went {
            shared.faults.push(fault);
            return;
        }
    }
}

struct Viewer {
    response: Response,
    checker: Checker,
    playing: bool,
}

impl Viewer {
    fn take(
        &mut self,
        bytes: &[u8],
        longest_step: u32,
        shared: &mut Shared,
    ) -> std::result::Result<(), String> {
        let (checker, playing) = (&mut self.checker, &mut self.playing);
        let mut fault = None;
        let body = |piece: &[u8]| {
            let each = |tag: acme_egress::check::Tag<'_>| {
                let Some(step) = tag.step.filter(|_| tag.kind == 9) else {
                    return;
                };
                // A millisecond is what rounding may make of it.
                if step > longest_step + 1 {
                    shared
                        .faults
                        .push(format!("a gap of {step} ms at {}", tag.timestamp));
                }
                if !*playing {
                    *playing = true;
                    shared.playing += 1;
                }
                if shared.measuring
                    && let Some(age) = age(tag.head)
                {
                    let micros = u32::try_from(age.as_micros());
                    shared.ages.push(micros.unwrap_or(u32::MAX));
                }
            };
            if let Err(error) = checker.push(piece, each) {
                fault.get_or_insert(error.to_string());
            }
        };
        self.response
            .push(bytes, body)
            .map_err(|error| error.to_string())?;
        match (fault, self.response.status()) {
            (Some(fault), _) => Err(fault),
            (None, Some(200) | None) => Ok(()),
            (None, Some(status)) => Err(format!("status {status}")),
        }
    }
}
