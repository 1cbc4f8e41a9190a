//! What an id costs: `cargo run --release -p hakata-id --example reserve_speed`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a tool for the terminal")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hakata_id::{Generator, Issuer, Layout, Slot, TimeBase, WorkerId};

const ROUNDS: u32 = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layout = Layout::Standard;
    let time = Arc::new(TimeBase::system(layout));
    let generator = Arc::new(Generator::new(layout));
    generator.start(WorkerId::new(layout, 1)?, time.now(), layout.end());
    report("clock", || {
        black_box(time.now());
    });
    // Its own clock, a tick a call, so that no tick is ever used up.
    let mut now = time.now();
    report("reserve 1 of a fresh tick", || {
        now = layout.next_tick(now);
        black_box(generator.reserve(now, 1));
    });
    let generator = Arc::new(Generator::new(layout));
    generator.start(WorkerId::new(layout, 1)?, Slot::ZERO, layout.end());
    let far = Slot::new(1 << 40);
    let mut left = layout.ids_per_tick();
    let mut now = far;
    report("reserve 1 of a used tick", || {
        left -= 1;
        if left == 0 {
            left = layout.ids_per_tick();
            now = layout.next_tick(now);
        }
        black_box(generator.reserve(now, 1));
    });
    let generator = Arc::new(Generator::new(layout));
    generator.start(WorkerId::new(layout, 1)?, time.now(), layout.end());
    let issuer = Issuer::new(generator, time, Duration::from_secs(1));
    report("try_issue 1, clock read each time", || {
        let _ = black_box(issuer.try_issue(1, |id| {
            black_box(id);
        }));
    });
    for threads in [1, 2] {
        println!("{threads} threads, 100 ids a call: {:.2} M ids/s", multi_get(&issuer, threads) / 1e6);
    }
    Ok(())
}

/// Prints the mean time of a call, best of five runs.
fn report(what: &str, mut call: impl FnMut()) {
    let run = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    let best = (0..5).map(|_| run(&mut call)).fold(f64::INFINITY, f64::min);
    println!("{what}: {best:.1} ns");
}

/// Takes ids for a second on several threads and tells how many a second came.
fn multi_get(issuer: &Issuer, threads: u32) -> f64 {
    let start = Instant::now();
    let total: u64 = std::thread::scope(|scope| {
        let take = || {
            let mut n = 0_u64;
            while start.elapsed() < Duration::from_secs(1) {
                let each = |id| {
                    black_box(id);
                };
                n += u64::from(issuer.try_issue(100, each).unwrap_or(0));
            }
            n
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(0)).sum()
    });
    total as f64 / start.elapsed().as_secs_f64()
}
