//! The server `rillcast` as a library: everything but `fn main`.
//!
//! The binary and out-of-tree servers call [`main`], which knows the command
//! line; tests and programs that embed a server call [`Server::start`]. The
//! server is thin: plugins do the work. It puts their configuration together
//! (`config`), runs them, serves HTTP for them (`http`), and adds what no
//! single one could: the API, the metrics, the pages, who may do what, and an
//! orderly end.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(unused_crate_dependencies))]

// The program's alone: who embeds a server has an allocator.
use mimalloc as _;

mod addresses;
mod api;
mod app;
mod auth;
mod cli;
mod config;
mod demo;
mod descriptors;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod http;
mod linked;
mod logs;
mod metrics;
mod packaging;
mod pages;
mod server;
mod signals;

pub use addresses::Addresses;
pub use cli::main;
pub use server::{Server, StartError};
