//! Rates, and the goals they are held against.

use std::time::Duration;

/// One round of one case of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Numbers received.
    pub(super) values: u64,
    pub(super) took: Duration,
    /// CPU time of the server.
    pub(super) cpu: Duration,
}

struct Row {
    case: String,
    server: &'static str,
    rounds: Vec<Round>,
}

struct Goal {
    name: String,
    ratio: f64,
    at_least: f64,
}

/// Everything measured.
#[derive(Default)]
pub(super) struct Figures {
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

impl Figures {
    pub(super) fn add(&mut self, case: String, server: &'static str, rounds: Vec<Round>) {
        self.rows.push(Row { case, server, rounds });
    }

    /// Demands a ratio.
    pub(super) fn goal(&mut self, name: String, ratio: f64, at_least: f64) {
        self.goals.push(Goal { name, ratio, at_least });
    }

    /// Median of numbers a second; not a number if it was not measured, which meets no goal.
    pub(super) fn rate(&self, case: &str, server: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.case == case && row.server == server);
        row.map_or(f64::NAN, |row| spread(&row.rounds, rate).1)
    }

    /// Prints tables and JSON lines; `false` if a goal is missed.
    pub(super) fn print(&self) -> bool {
        println!(
            "\n| case | server | thousands a second [min–max] | CPU µs each | hakata is |\n|---|---|---|---|---|"
        );
        for row in &self.rows {
            let (least, median, most) = spread(&row.rounds, |round| rate(round) / 1000.0);
            let cpu = spread(&row.rounds, cpu_us).1;
            let times = self.rate(&row.case, "hakata") / (median * 1000.0);
            println!(
                "| {} | {} | {median:.0} [{least:.0}–{most:.0}] | {cpu:.3} | {times:.2} × |",
                row.case, row.server
            );
        }
        println!("\n| goal | ratio | at least | |\n|---|---|---|---|");
        let mut all = true;
        for goal in &self.goals {
            let met = goal.ratio >= goal.at_least;
            all &= met;
            let word = if met { "met" } else { "MISSED" };
            println!("| {} | {:.3} | {:.2} | {word} |", goal.name, goal.ratio, goal.at_least);
        }
        println!();
        for row in &self.rows {
            let (least, median, most) = spread(&row.rounds, rate);
            let line = serde_json::json!({
                "case": row.case, "peer": row.server, "rounds": row.rounds.len(), "per_second": median,
                "least": least, "most": most, "cpu_us": spread(&row.rounds, cpu_us).1,
            });
            println!("{line}");
        }
        all
    }
}

fn rate(round: &Round) -> f64 {
    round.values as f64 / round.took.as_secs_f64()
}

fn cpu_us(round: &Round) -> f64 {
    round.cpu.as_secs_f64() * 1e6 / round.values as f64
}

/// Minimum, median and maximum over the rounds.
fn spread(rounds: &[Round], measure: impl Fn(&Round) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = rounds.iter().map(measure).collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
