//! The program `rillcast`: the server with the plugins that its features link.
#![forbid(unsafe_code)]

/// The system's allocator keeps what an attack or a busy evening has once needed:
/// glibc's can only give back what lies on top. This one gives all of it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    rillcast_server::main()
}
