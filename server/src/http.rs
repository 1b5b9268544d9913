//! The HTTP server: sockets, connections and what both may cost.
//!
//! `listener.rs` binds and accepts, `conn.rs` finds out what a connection speaks
//! and has `http1.rs` or `http2.rs` run it (time limits are in `io.rs` and
//! `timer.rs`), `dispatch.rs` brings each request to the server's
//! own pages and API (an axum router) or to the handler that a plugin mounted.
//! Bodies are in `body.rs`: an answer's slices reach the socket as they are,
//! by vectored writes.

mod body;
mod conn;
mod dispatch;
mod http1;
mod http2;
mod io;
mod listener;
mod problem;
mod stats;
mod timer;

#[cfg(any(test, fuzzing))]
pub(crate) use conn::{Client, Limits};
pub(crate) use dispatch::{Dispatch, Peer};
#[cfg(any(test, fuzzing))]
pub(crate) use http1::serve as serve_http1;
#[cfg(any(test, fuzzing))]
pub(crate) use http2::serve as serve_http2;
pub(crate) use listener::{HttpServer, Listening, bind};
pub(crate) use problem::Problem;
pub(crate) use stats::{HttpStats, get};
