//! The figures of a run and the goals they are held against.

use std::time::Duration;

/// One measured case of one peer.
#[derive(Clone, Debug)]
struct Row {
    case: String,
    peer: &'static str,
    samples: Vec<Sample>,
}

/// One round of one case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Operations in the round.
    pub(crate) n: u32,
    /// Wall time of the round.
    pub(crate) wall: Duration,
    /// CPU time of the server during the round.
    pub(crate) cpu: Duration,
}

/// What a goal compares.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measure {
    /// CPU time an operation.
    Cpu,
    /// Wall time an operation.
    Wall,
}

/// A ratio that must not be exceeded.
struct Goal {
    name: &'static str,
    case: String,
    peer: &'static str,
    measure: Measure,
    at_most: f64,
}

/// Memory that must not be exceeded, whatever others take.
struct Memory {
    name: &'static str,
    case: String,
    kib: f64,
    at_most_kib: f64,
}

/// Everything measured in a run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    goals: Vec<Goal>,
    memory: Vec<Memory>,
}

impl Report {
    /// Adds the samples of one case of one peer.
    pub(crate) fn add(&mut self, case: &str, peer: &'static str, samples: Vec<Sample>) {
        self.rows.push(Row { case: case.to_owned(), peer, samples });
    }

    /// Demands that Hakata's measure of a case is at most `at_most` times that of `peer`.
    pub(crate) fn goal(
        &mut self,
        name: &'static str,
        case: &str,
        peer: &'static str,
        measure: Measure,
        at_most: f64,
    ) {
        self.goals.push(Goal { name, case: case.to_owned(), peer, measure, at_most });
    }

    /// Adds what one of something takes, and demands that it is at most `at_most_kib`.
    pub(crate) fn memory(&mut self, name: &'static str, case: &str, kib: f64, at_most_kib: f64) {
        self.memory.push(Memory { name, case: case.to_owned(), kib, at_most_kib });
    }

    /// Prints tables and JSON lines; `false` if a goal is missed.
    pub(crate) fn print(&self) -> bool {
        println!(
            "\n| case | peer | wall ms [min–max] | operations/s | CPU ms [min–max] |\n|---|---|---|---|---|"
        );
        for row in &self.rows {
            let (wall, cpu) = (spread(row, wall_ms), spread(row, cpu_ms));
            let rate = 1000.0 / wall.1;
            println!(
                "| {} | {} | {:.3} [{:.3}–{:.3}] | {rate:.0} | {:.4} [{:.4}–{:.4}] |",
                row.case, row.peer, wall.1, wall.0, wall.2, cpu.1, cpu.0, cpu.2
            );
        }
        println!("\n| goal | case | against | ratio | at most | |\n|---|---|---|---|---|---|");
        let mut all = true;
        for goal in &self.goals {
            let of = |peer: &str| self.rows.iter().find(|row| row.case == goal.case && row.peer == peer);
            let (Some(ours), Some(theirs)) = (of("hakata"), of(goal.peer)) else { continue };
            let measure = match goal.measure {
                Measure::Cpu => cpu_ms,
                Measure::Wall => wall_ms,
            };
            let ratio = spread(ours, measure).1 / spread(theirs, measure).1;
            let met = ratio <= goal.at_most;
            all &= met;
            println!(
                "| {} {:?} | {} | {} | {ratio:.4} (1/{:.1}) | {:.4} | {} |",
                goal.name,
                goal.measure,
                goal.case,
                goal.peer,
                1.0 / ratio,
                goal.at_most,
                if met { "met" } else { "MISSED" }
            );
        }
        all &= self.print_memory();
        self.print_json();
        all
    }

    fn print_memory(&self) -> bool {
        if !self.memory.is_empty() {
            println!("\n| goal | case | KiB each | at most | |\n|---|---|---|---|---|");
        }
        for Memory { name, case, kib, at_most_kib } in &self.memory {
            let met = if kib <= at_most_kib { "met" } else { "MISSED" };
            println!("| {name} | {case} | {kib:.1} | {at_most_kib:.0} | {met} |");
        }
        self.memory.iter().all(|memory| memory.kib <= memory.at_most_kib)
    }

    fn print_json(&self) {
        println!();
        for row in &self.rows {
            let (wall, cpu) = (spread(row, wall_ms), spread(row, cpu_ms));
            let line = serde_json::json!({
                "case": row.case, "peer": row.peer, "rounds": row.samples.len(), "wall_ms": wall.1, "cpu_ms": cpu.1,
            });
            println!("{line}");
        }
    }
}

fn wall_ms(sample: &Sample) -> f64 {
    sample.wall.as_secs_f64() * 1000.0 / f64::from(sample.n)
}

fn cpu_ms(sample: &Sample) -> f64 {
    sample.cpu.as_secs_f64() * 1000.0 / f64::from(sample.n)
}

/// Minimum, median and maximum over the rounds.
fn spread(row: &Row, measure: impl Fn(&Sample) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = row.samples.iter().map(measure).collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
