//! The HTTP server: sockets, connections and what both may cost.
//!
//! `listener.rs` binds and accepts, `conn.rs` runs one connection (its time
//! limits are in `io.rs` and `timer.rs`), `dispatch.rs` brings each request to the server's
//! own pages and API (an axum router) or to the handler that a plugin mounted.
//! Bodies are in `body.rs`: an answer's slices reach the socket as they are,
//! by vectored writes.

mod body;
mod conn;
mod dispatch;
mod io;
mod listener;
mod problem;
mod stats;
mod timer;

#[cfg(any(test, fuzzing))]
pub(crate) use conn::{Client, Limits, answer_on};
pub(crate) use dispatch::{Dispatch, Peer};
pub(crate) use listener::{HttpServer, bind};
pub(crate) use problem::Problem;
pub(crate) use stats::{HttpStats, get};
