//! The body on what is committed for it, and on random text.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use proptest::prelude::*;

use super::*;

#[test]
fn corpora_and_findings_are_survived() {
    replay::replay("core", &[("text", text)]);
}

proptest! {
    #[test]
    fn random_text_is_survived(data in "[a-z0-9./%é\\n]{0,40}|[0-9.]{1,12}(ms|s|m|h|d|KiB|GB)") {
        text(data.as_bytes());
    }
}
