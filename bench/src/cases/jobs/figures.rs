//! What was measured, and the goals it is held against.

use std::time::Duration;

/// One line of the table.
struct Row {
    case: String,
    what: &'static str,
    /// Of all samples: the least, the median, the 99th percentile and the most.
    spread: [f64; 4],
    unit: &'static str,
}

/// What a ratio must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

struct Goal {
    name: String,
    value: f64,
    bar: Bar,
}

/// Everything measured.
#[derive(Default)]
pub(super) struct Figures {
    rows: Vec<Row>,
    goals: Vec<Goal>,
}

impl Figures {
    /// Adds rounds, each of `n` jobs and so long; the answer is the median of jobs a second.
    pub(super) fn rates(&mut self, case: &str, what: &'static str, n: i64, rounds: &[Duration]) -> f64 {
        let rates = rounds.iter().map(|took| n as f64 / took.as_secs_f64()).collect();
        self.add(case, what, "jobs/s", rates)[1]
    }

    /// Adds times; the answer is their median and 99th percentile, in ms.
    pub(super) fn times(&mut self, case: &str, what: &'static str, times: &[Duration]) -> (f64, f64) {
        let spread = self.add(case, what, "ms", times.iter().map(|time| time.as_secs_f64() * 1e3).collect());
        (spread[1], spread[2])
    }

    fn add(&mut self, case: &str, what: &'static str, unit: &'static str, mut samples: Vec<f64>) -> [f64; 4] {
        samples.sort_by(f64::total_cmp);
        // Not a number meets no goal.
        let at = |hundredths: usize| {
            let last = samples.len().saturating_sub(1);
            samples.get((last * hundredths).div_ceil(100)).copied().unwrap_or(f64::NAN)
        };
        let spread = [at(0), at(50), at(99), at(100)];
        self.rows.push(Row { case: case.to_owned(), what, spread, unit });
        spread
    }

    /// Demands something.
    pub(super) fn goal(&mut self, name: String, value: f64, bar: Bar) {
        self.goals.push(Goal { name, value, bar });
    }

    /// Prints tables and JSON lines; `false` if a goal is missed.
    pub(super) fn print(&self) -> bool {
        println!("\n| case | what | least | median | p99 | most | |\n|---|---|---|---|---|---|---|");
        for Row { case, what, spread: [least, median, late, most], unit } in &self.rows {
            println!("| {case} | {what} | {least:.3} | {median:.3} | {late:.3} | {most:.3} | {unit} |");
        }
        println!("\n| goal | measured | bar | |\n|---|---|---|---|");
        let mut all = true;
        for Goal { name, value, bar } in &self.goals {
            let (met, bar) = match *bar {
                Bar::AtLeast(bar) => (*value >= bar, format!("≥ {bar}")),
                Bar::AtMost(bar) => (*value <= bar, format!("≤ {bar:.3}")),
            };
            all &= met;
            println!("| {name} | {value:.3} | {bar} | {} |", if met { "met" } else { "MISSED" });
        }
        println!();
        for Row { case, what, spread: [least, median, late, most], unit } in &self.rows {
            let line = serde_json::json!({
                "case": case, "what": what, "least": least, "median": median, "p99": late, "most": most, "unit": unit,
            });
            println!("{line}");
        }
        all
    }
}
