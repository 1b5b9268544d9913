//! Plugins that start, fail, panic, hang and share, run by a host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::*;
use crate::RegistryConfig;
use crate::plugin::{Egress, FaultyKey, Ingest, PluginSetError, Publish};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    mode: String,
    port: u16,
}

/// An ingest that behaves as its section says.
struct Fake(Config);

impl Ingest for Fake {
    const NAME: &'static str = "fake";
    const EXAMPLE: &'static str = "mode = \"\"\nport = 0\n";
    const STREAM_KEYS: &'static [&'static str] = &["port"];
    type Config = Config;

    fn new(config: Config) -> Result<Self, BoxError> {
        if config.mode == "bad" {
            return Err("mode: \"bad\" is no mode".into());
        }
        if config.port == 13 {
            let error = FaultyKey::new("port", "fake.port must not be 13");
            return Err(error.into());
        }
        Ok(Self(config))
    }

    async fn run(self, cx: IngestContext) -> Result<(), BoxError> {
        match self.0.mode.as_str() {
            "fail" => return Err("the address is in use".into()),
            "panic" => panic!("on purpose"),
            "end" => return Ok(()),
            "never" => std::future::pending().await,
            "task" => cx.spawn(async { panic!("in a task") }),
            "connections" => {
                cx.spawn_connection(async { panic!("in a connection") });
                let own = cx.clone();
                cx.spawn_connection(async move {
                    let publish = Publish::new("live/cam".parse().unwrap());
                    let _publisher = own.publish(publish).await.unwrap();
                    std::future::pending().await
                });
            }
            _ => {}
        }
        let port = self.0.port;
        cx.ready(SocketAddr::from(([127, 0, 0, 1], port)));
        if self.0.mode == "hang" {
            std::future::pending::<()>().await;
        }
        cx.shutdown().requested().await;
        Ok(())
    }
}

/// An egress that is always fine.
struct Sink;

impl Egress for Sink {
    const NAME: &'static str = "sink";
    type Config = Config;

    fn new(_config: Config) -> Result<Self, BoxError> {
        Ok(Self)
    }

    async fn run(self, cx: EgressContext) -> Result<(), BoxError> {
        let flag = cx.shared(|| AtomicBool::new(false));
        cx.ready(None);
        cx.shutdown().requested().await;
        flag.store(true, Ordering::Release);
        Ok(())
    }
}

fn fake() -> PluginEntry {
    PluginEntry::ingest::<Fake>("acme-fake", "1.0.0")
}

fn plugins() -> Plugins {
    let sink = PluginEntry::egress::<Sink>("acme-sink", "2.0.0");
    Plugins::none().with(sink).unwrap().with(fake()).unwrap()
}

fn settings(text: &str) -> Settings {
    Settings::from_toml(text, "test.toml").unwrap()
}

fn start(text: &str) -> Host {
    let services = Services::new(settings(text), Registry::new(RegistryConfig::default()));
    Host::start(&plugins(), services).unwrap()
}

fn state(host: &Host, name: &str) -> PluginState {
    let status = host.status();
    status
        .into_iter()
        .find(|status| status.plugin.name() == name)
        .unwrap()
        .state
}

#[tokio::test]
async fn plugins_report_their_addresses_and_stop_in_time() {
    let host = start("[fake]\nport = 7\n");
    let addresses = host.ready().await.unwrap();
    assert_eq!(
        addresses.into_iter().collect::<Vec<_>>(),
        [("fake", ([127, 0, 0, 1], 7).into())]
    );
    let flag = host.services().registry.shared(|| AtomicBool::new(false));
    let registry = host.services().registry.clone();
    assert_eq!(
        host.shutdown(Duration::from_secs(60)).await,
        Vec::<&str>::new()
    );
    assert!(flag.load(Ordering::Acquire), "the egress ran to its end");
    let late = registry.publish(crate::PublishRequest::new("a/b".parse().unwrap(), "fake"));
    assert!(late.is_err(), "nothing is published after the end");
}

#[tokio::test]
async fn a_plugin_that_fails_at_start_is_named() {
    for (mode, want) in [
        ("fail", "fake: the address is in use"),
        ("panic", "fake: panicked: on purpose"),
        ("end", "fake: ended before it was ready"),
    ] {
        let host = start(&format!("[fake]\nmode = \"{mode}\"\n"));
        assert_eq!(host.ready().await.unwrap_err().to_string(), want);
        assert!(matches!(
            state(&host, "sink"),
            PluginState::Starting | PluginState::Running(None)
        ));
    }
}

#[tokio::test]
async fn a_plugin_that_fails_at_start_is_not_waited_for_behind_a_slow_one() {
    struct Broken;
    impl Egress for Broken {
        const NAME: &'static str = "broken";
        type Config = Config;

        fn new(_config: Config) -> Result<Self, BoxError> {
            Ok(Self)
        }

        async fn run(self, _cx: EgressContext) -> Result<(), BoxError> {
            Err("no".into())
        }
    }
    let broken = PluginEntry::egress::<Broken>("acme-broken", "1.0.0");
    let plugins = plugins().with(broken).unwrap();
    let settings = settings("[fake]\nmode = \"never\"\n");
    let services = Services::new(settings, Registry::new(RegistryConfig::default()));
    let host = Host::start(&plugins, services).unwrap();
    assert_eq!(host.ready().await.unwrap_err().to_string(), "broken: no");
}

#[tokio::test]
async fn a_panic_in_a_task_costs_that_task_only() {
    let host = start("[fake]\nmode = \"task\"\n");
    host.ready().await.unwrap();
    let panics = || {
        host.status()
            .iter()
            .map(|status| status.panics)
            .sum::<u64>()
    };
    while panics() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(state(&host, "fake"), PluginState::Running(_)));
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_dropped_when_the_time_is_over() {
    let host = start("[fake]\nmode = \"hang\"\n");
    host.ready().await.unwrap();
    assert_eq!(host.shutdown(Duration::from_secs(4)).await, ["fake"]);
}

/// A worker that tells which threads it is called on.
struct Where(std::sync::mpsc::Sender<Option<String>>);

impl crate::StreamWorker for Where {
    fn on_recv(&mut self, _recv: crate::Recv<'_>, _now: std::time::Instant) {
        let name = std::thread::current().name().map(str::to_owned);
        self.0.send(name).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn connections_and_their_streams_live_on_the_servers_threads_and_end_with_the_plugin() {
    let threads = Threads::start(std::num::NonZeroUsize::new(2)).unwrap();
    let registry = Registry::new(RegistryConfig::default());
    let services = Services::new(settings("[fake]\nmode = \"connections\"\n"), registry);
    let host = Host::start(&plugins(), services.with_threads(threads.clone())).unwrap();
    host.ready().await.unwrap();
    let key = "live/cam".parse().unwrap();
    let registry = &host.services().registry;
    let panics = || {
        host.status()
            .iter()
            .map(|status| status.panics)
            .sum::<u64>()
    };
    while panics() == 0 || registry.get(&key).is_none() {
        tokio::task::yield_now().await;
    }
    assert!(matches!(state(&host, "fake"), PluginState::Running(_)));
    let (sender, seen) = std::sync::mpsc::channel();
    registry.get(&key).unwrap().attach_worker(Where(sender));
    assert_eq!(host.shutdown(Duration::from_secs(4)).await, ["fake"]);
    registry.drained().await;
    let seen: Vec<_> = seen.iter().flatten().collect();
    assert_eq!(seen, ["rillcast-io-0"], "the end of the stream");
    threads.stop();
    threads.stopped().await;
}

#[tokio::test]
async fn publishing_needs_leave() {
    struct Never;
    #[async_trait::async_trait]
    impl Authorizer for Never {
        async fn authorize(&self, access: crate::Access<'_>) -> Result<(), crate::Denied> {
            Err(crate::Denied::new(format!(
                "{} may not be published",
                access.key
            )))
        }
    }
    let registry = Registry::new(RegistryConfig::default());
    let publish = || Publish::new("live/cam".parse().unwrap());
    let services = Services::new(Settings::new(), registry.clone()).with_authorizer(Never);
    let cx = IngestContext::new(Cell::new("fake", &Threads::none()), Arc::new(services));
    let refused = cx.publish(publish()).await.unwrap_err();
    assert_eq!(refused.to_string(), "live/cam may not be published");

    let services = Services::new(Settings::new(), registry.clone());
    let cx = IngestContext::new(Cell::new("fake", &Threads::none()), Arc::new(services));
    let publisher = cx.publish(publish()).await.unwrap();
    assert_eq!(registry.list().len(), 1);
    assert!(cx.publish(publish()).await.is_err(), "the key is live");
    drop(publisher);
}

#[test]
fn the_whole_configuration_is_checked() {
    for (text, want) in [
        (
            "[fake]\nmode = \"bad\"\n",
            "test.toml line 1: fake: mode: \"bad\" is no mode",
        ),
        (
            "[fake]\nmode = \"x\"\nport = 13\n",
            "test.toml line 3: fake.port must not be 13",
        ),
        (
            "[[stream]]\nmatch = \"a/*\"\n\nfake.port = 13\n",
            "test.toml line 4: fake.port must not be 13",
        ),
        (
            "[fake]\nmood = 1\n",
            "test.toml line 2: unknown key \"fake.mood\"",
        ),
        (
            "\n[fork]\n",
            "test.toml line 2: unknown section [fork]: no linked plugin is named so; \
                        this build knows bus, fake, limits, sink",
        ),
        (
            "[[stream]]\nmatch = \"a/*\"\nfake.mode = \"x\"\n",
            "test.toml line 3: fake.mode: cannot be set per stream; of [fake] these can: port",
        ),
        (
            "[[stream]]\nmatch = \"a/*\"\nsink.port = 1\n",
            "cannot be set per stream; write it in [sink]",
        ),
        (
            "[[stream]]\nmatch = \"a/*\"\nfake.port = 70000\n",
            "test.toml line 3: fake.port",
        ),
        (
            "[limits]\nidle_timeout = \"never\"\n",
            "test.toml line 2: limits.idle_timeout: \"never\"",
        ),
    ] {
        let error = plugins()
            .check(&settings(text), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{text}\n got: {error}\nwant: {want}");
    }
    let fine = "[fake]\nport = 1\n[[stream]]\nmatch = \"a/*\"\nfake.port = 2\nbus.takeover = \"replace\"\n";
    plugins().check(&settings(fine), &[]).unwrap();
}

#[test]
fn two_plugins_of_one_name_are_refused_by_their_crates() {
    let error = plugins()
        .with(PluginEntry::egress::<Sink>("evil-sink", "9.0.0"))
        .unwrap_err();
    assert_eq!(
        error,
        PluginSetError::Duplicate {
            name: "sink",
            first: "acme-sink 2.0.0".into(),
            second: "evil-sink 9.0.0".into(),
        }
    );
}
