//! The combinations in which a scenario runs.

use std::fmt;

use super::Scenario;
use crate::Engine;

/// How git reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Smart HTTP with Basic authentication.
    Http,
    /// SSH with a public key.
    Ssh,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What `$URL` stands for.
    pub transport: Transport,
    /// `protocol.version` of the clients.
    pub version: u8,
    /// Whether repositories are made with SHA-256.
    pub sha256: bool,
    /// The server's database.
    pub engine: Engine,
}

impl Default for Case {
    fn default() -> Self {
        Self { transport: Transport::Http, version: 2, sha256: false, engine: Engine::Sqlite }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.transport == Transport::Http { "http" } else { "ssh" };
        let format = if self.sha256 { "sha256" } else { "sha1" };
        write!(f, "{transport}-v{}-{format}-{}", self.version, self.engine.name())
    }
}

/// Every pair of values of two axes is in one of these rows: transport (0 HTTP, 1 SSH), version, SHA-256.
const PAIRWISE: [(usize, u8, bool); 6] =
    [(0, 2, false), (1, 2, true), (0, 1, true), (1, 1, false), (0, 0, true), (1, 0, false)];

/// Lists the combinations of a scenario: the default and a pairwise choice, or the whole product if `full`.
pub fn cases(scenario: &Scenario, full: bool) -> Vec<Case> {
    let varies = |axis: &str| scenario.axes.iter().any(|name| name == axis);
    let mut rows: Vec<Case> = Vec::new();
    for (transport, version, sha256) in rows_of(full) {
        let default = Case::default();
        let case = Case {
            transport: if varies("transport") { transport } else { default.transport },
            version: if varies("version") { version } else { default.version },
            sha256: varies("format") && sha256,
            engine: default.engine,
        };
        if !rows.contains(&case) {
            rows.push(case);
        }
    }
    if scenario.databases {
        let first = rows.first().copied().unwrap_or_default();
        rows.push(Case { engine: Engine::Postgres, ..first });
        rows.push(Case { engine: Engine::Mariadb, ..first });
    }
    rows
}

fn rows_of(full: bool) -> Vec<(Transport, u8, bool)> {
    const TRANSPORTS: [Transport; 2] = [Transport::Http, Transport::Ssh];
    if !full {
        return PAIRWISE
            .iter()
            .map(|(transport, version, sha256)| (TRANSPORTS[*transport], *version, *sha256))
            .collect();
    }
    let mut rows = Vec::new();
    for sha256 in [false, true] {
        for transport in TRANSPORTS {
            rows.extend([2, 1, 0].map(|version| (transport, version, sha256)));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::cases;
    use crate::scenario::parse;

    #[test]
    fn every_pair_of_values_occurs() {
        let scenario = parse("matrix transport version format\nserver").expect("well formed");
        let rows = cases(&scenario, false);
        for version in 0..3 {
            for sha256 in [false, true] {
                let pair = |case: &&super::Case| case.version == version && case.sha256 == sha256;
                assert!(rows.iter().any(|case| pair(&case)), "version {version}, sha256 {sha256}");
            }
        }
        assert_eq!((rows.len(), cases(&scenario, true).len()), (6, 12));
    }

    #[test]
    fn a_scenario_without_axes_runs_once_on_each_database_asked_for() {
        assert_eq!(cases(&parse("server").expect("well formed"), true).len(), 1);
        assert_eq!(cases(&parse("databases\nserver").expect("well formed"), false).len(), 3);
    }
}
