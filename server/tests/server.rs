//! The server from outside: its program, its HTTP, its API. Everything listens
//! on port 0 of 127.0.0.1.

#[path = "server/api.rs"]
mod api;
#[path = "server/cli.rs"]
mod cli;
#[path = "server/client.rs"]
mod client;
#[path = "server/fixture.rs"]
mod fixture;
#[path = "server/http.rs"]
mod http;
#[path = "server/limits.rs"]
mod limits;
