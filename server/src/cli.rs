//! The command line: what can be asked of the program, and how it answers.
//!
//! `cli/run.rs` serves, `cli/show.rs` prints what needs no server.

mod run;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rillcast_core::{PluginEntry, Plugins, Settings};

use crate::demo::Demo;
use crate::server::StartError;
use crate::{config, server};

/// A live-media server: streams come in by RTMP and go out as HLS.
#[derive(Debug, Parser)]
#[command(name = "rillcast", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what is done without a command, too)
    Run(Serve),
    /// Serve, with a built-in live stream to look at: live/demo
    Demo(Serve),
    /// Read and check the configuration, and do nothing else
    Check(Configuration),
    /// List the plugins that this program was built with
    Plugins {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Print a configuration file with every key, its default and what it means
    ExampleConfig,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    configuration: Configuration,
    /// Write the addresses of all listeners there, as JSON, once they are bound
    #[arg(long, value_name = "PATH")]
    addresses_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "")]
struct Configuration {
    /// Read the configuration from this file (no file is read without this)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value, over file and environment: --set rtmp.listen=0.0.0.0:1935
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Configuration {
    fn load(&self) -> Result<Settings, Failure> {
        let environment = std::env::vars_os();
        Ok(config::load(
            self.config.as_deref(),
            environment,
            &self.set,
        )?)
    }
}

/// Why a command failed: one sentence for stderr. The program ends with code 2.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("--addresses-file {}: {}; name a file in a folder that can be written", path.display(), config::plain(source))]
    AddressesFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{what}: {}", config::plain(source))]
    System {
        what: &'static str,
        source: std::io::Error,
    },
}

impl From<rillcast_core::SettingsError> for Failure {
    fn from(error: rillcast_core::SettingsError) -> Self {
        Self::Start(error.into())
    }
}

impl From<rillcast_core::PluginSetError> for Failure {
    fn from(error: rillcast_core::PluginSetError) -> Self {
        Self::Start(error.into())
    }
}

/// Runs the program `rillcast` with all plugins that are linked into the
/// caller: the whole `main` of a server with plugins of its own.
///
/// ```no_run
/// // use acme_ingest as _;
/// fn main() -> std::process::ExitCode {
///     rillcast_server::main()
/// }
/// ```
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "rillcast: {failure}");
            ExitCode::from(2)
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let linked = Plugins::linked()?;
    match cli.command.unwrap_or(Command::Run(cli.serve)) {
        Command::Run(serve) => run::run(&serve, &linked, false),
        Command::Demo(serve) => {
            let crate_name = env!("CARGO_PKG_NAME");
            let entry = PluginEntry::ingest::<Demo>(crate_name, env!("CARGO_PKG_VERSION"));
            run::run(&serve, &linked.with(entry)?, true)
        }
        Command::Check(configuration) => {
            let settings = configuration.load()?;
            server::check(&settings, &linked)?;
            show::print(&show::checked(configuration.config.as_deref(), &settings));
            Ok(())
        }
        Command::Plugins { json } => {
            show::print(&show::plugins(&linked, json));
            Ok(())
        }
        Command::ExampleConfig => {
            show::print(&show::example_config(&linked));
            Ok(())
        }
    }
}
