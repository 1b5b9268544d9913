//! The program `rillcast`: the server with the plugins that its features link.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    rillcast_server::main()
}
