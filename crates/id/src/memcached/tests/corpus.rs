//! What the fuzzers found worth keeping, replayed.

use std::path::Path;

use super::harness::check_at_odds;

#[test]
fn the_corpora_of_the_fuzzers_hold() {
    for target in ["text", "binary"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut n_files = 0;
        for entry in std::fs::read_dir(&folder).expect("a folder of samples") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a sample");
            check_at_odds(&bytes);
            n_files += 1;
        }
        assert!(n_files >= 10, "{target}: {n_files} samples are no corpus");
    }
}
