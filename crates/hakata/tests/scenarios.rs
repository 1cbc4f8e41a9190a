//! Runs every file below `scenarios/` against the real binary, in every combination that it asks for.
//!
//! With `HAKATA_TEST_MATRIX=full` a scenario runs in the whole product of its axes instead of a pairwise choice.

use std::path::{Path, PathBuf};

use hakata_testkit::scenario::{cases, parse, play};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let full = std::env::var("HAKATA_TEST_MATRIX").is_ok_and(|matrix| matrix == "full");
    let mut trials = Vec::new();
    for file in files(&folder)? {
        let name = file.strip_prefix(&folder)?.with_extension("").display().to_string();
        let scenario =
            parse(&std::fs::read_to_string(&file)?).map_err(|error| error.context(name.clone()))?;
        for case in cases(&scenario, full) {
            let scenario = scenario.clone();
            trials.push(Trial::test(format!("{name} {case}"), move || {
                let binary = Path::new(env!("CARGO_BIN_EXE_hakata"));
                play(&scenario, case, binary).map_err(|error| Failed::from(format!("{error:#}")))
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// Lists the scenario files below a folder, in a stable order.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
