pub(crate) fn run() -> crate::process::Result {
    Ok(())
}
