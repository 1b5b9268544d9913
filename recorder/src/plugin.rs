//! The recorder as a plugin: its folder, and a recording for each life of a stream.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rillcast_core::{BoxError, Egress, EgressContext, SharedSection, StreamEvent, StreamKey};
use rillcast_media::cmaf::{self, CmafConfig, Store};
use tokio::time::timeout;

use crate::Config;
use crate::config::Durability;
use crate::repair::repair;
use crate::stream::Recording;

/// The plugin: files below `record.path`.
#[derive(Debug)]
pub struct Record {
    config: Config,
}

impl Egress for Record {
    const NAME: &'static str = "record";
    const EXAMPLE: &'static str = Config::EXAMPLE;
    const STREAM_KEYS: &'static [&'static str] = Config::STREAM_KEYS;
    const SECTIONS: &'static [SharedSection] = &[cmaf::SECTION];
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        config.check()?;
        Ok(Self { config })
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        // Streams that begin while a folder is repaired are not forgotten.
        let mut events = cx.events();
        let mut folder = Folder::default();
        if self.config.enabled || self.config.path.is_dir() {
            folder.open(&self.config).await?;
        }
        cx.ready(None);
        let store = cx.shared(Store::new);
        let shutdown = cx.shutdown();
        let mut stop = pin!(shutdown.requested());
        let mut more = true;
        loop {
            store.sweep(Instant::now());
            let event = tokio::select! {
                () = &mut stop => return Ok(()),
                event = timeout(SWEEP_EVERY, events.next()), if more => event,
                // No stream begins any more; windows that have ended still go in time.
                () = tokio::time::sleep(SWEEP_EVERY), if !more => continue,
            };
            match event {
                Ok(Some(StreamEvent::Published { key, .. })) => {
                    if let Err(error) = folder.record(&cx, &store, &key).await {
                        tracing::error!(stream = %key, %error, "the stream is not recorded");
                    }
                }
                Ok(None) => more = false,
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
}

/// The recording folder, and what is recorded into it.
#[derive(Default)]
struct Folder {
    /// Held open for its lock.
    lock: Option<File>,
    /// The lives of streams that are recorded.
    sessions: Arc<Mutex<HashSet<String>>>,
}

impl Folder {
    /// Makes the folder this server's, and repairs what a crash has left in it.
    async fn open(&mut self, config: &Config) -> Result<(), BoxError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = config.path.clone();
        let sync = config.durability == Durability::Power;
        let work = move || -> Result<File, BoxError> {
            let lock = lock(&path)?;
            let shown = path.display();
            let mended = repair(&path, sync)
                .map_err(|error| format!("record.path: {shown} cannot be read: {error}"))?;
            if mended.files > 0 {
                let (files, bytes) = (mended.files, mended.bytes);
                tracing::info!(files, bytes, "recordings that a crash left were repaired");
            }
            Ok(lock)
        };
        self.lock = Some(tokio::task::spawn_blocking(work).await??);
        Ok(())
    }

    /// Records the life of `key` that lives now, if it shall be.
    async fn record(
        &mut self,
        cx: &EgressContext,
        store: &Arc<Store>,
        key: &StreamKey,
    ) -> Result<(), BoxError> {
        let config: Config = cx.stream_settings(Record::NAME, key)?;
        let (true, Some(handle)) = (config.enabled, cx.stream(key)) else {
            return Ok(());
        };
        self.open(&config).await?;
        let session = handle.session().to_owned();
        let begins = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.insert(session.clone())
        };
        // Events that were lost are told again.
        if !begins {
            return Ok(());
        }
        let ends = Ends(Arc::clone(&self.sessions), session);
        let cmaf: CmafConfig = cx.stream_settings("cmaf", key)?;
        let recording = Recording {
            key: key.clone(),
            config,
            window: store.open(&handle, &cmaf, Instant::now()),
            handle,
            store: Arc::clone(store),
            shutdown: cx.shutdown(),
        };
        cx.spawn(async move {
            recording.run().await;
            drop(ends);
        });
        Ok(())
    }
}

/// Forgets a session when its recording ends, however it does.
struct Ends(Arc<Mutex<HashSet<String>>>, String);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&self.1);
    }
}

/// Makes the folder, if there is none, and locks it: two servers would repair each
/// other's files while they are written.
fn lock(path: &Path) -> Result<File, BoxError> {
    let shown = path.display();
    let made = fs::create_dir_all(path).and_then(|()| File::create(path.join(LOCK)));
    let file = made.map_err(|error| format!("record.path: {shown} cannot be written: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(format!("record.path: {shown} is another server's: name another folder").into())
        }
        Err(TryLockError::Error(error)) => {
            // Some network file systems have no locks.
            tracing::warn!(path = %shown, %error, "the recording folder cannot be locked: let no other server record there");
            Ok(file)
        }
    }
}

/// What is locked. No key begins with a dot.
const LOCK: &str = ".lock";

/// How often ended windows are looked for whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

rillcast_core::register_egress!(Record);
