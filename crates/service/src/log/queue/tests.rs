//! What is written, when, and what happens when nobody takes it.

use super::{Duration, Queue, Urgency, Write};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(30);

/// Keeps what is written; holds every write while it is shut.
#[derive(Clone, Default)]
pub(in crate::log) struct Kept(Arc<(Mutex<Inner>, Condvar)>);

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    n_writes: usize,
    is_shut: bool,
    is_held: bool,
}

impl Kept {
    pub(in crate::log) fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
    }

    fn n_writes(&self) -> usize {
        self.0.0.lock().unwrap().n_writes
    }

    fn shut(&self, is_shut: bool) {
        self.0.0.lock().unwrap().is_shut = is_shut;
        self.0.1.notify_all();
    }

    /// Waits until somebody is held.
    fn wait_for_held(&self) {
        let guard = self.0.0.lock().unwrap();
        let (inner, waited) = self.0.1.wait_timeout_while(guard, LONG, |inner| !inner.is_held).unwrap();
        assert!(!waited.timed_out() && inner.is_held, "nobody writes");
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.0.lock().unwrap();
        while inner.is_shut {
            inner.is_held = true;
            self.0.1.notify_all();
            inner = self.0.1.wait(inner).unwrap();
        }
        inner.is_held = false;
        inner.n_writes += 1;
        inner.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a test beside the thread that writes; everything is written when it returns.
fn with_writer(queue: &Queue, test: impl FnOnce()) {
    thread::scope(|scope| {
        scope.spawn(|| queue.run());
        // A test that fails must not wait for the thread for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        queue.close();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn every_line_of_every_thread_is_written_in_its_order_by_few_writes() {
    let kept = Kept::default();
    let queue = Queue::new(1 << 20, kept.clone());
    with_writer(&queue, || {
        thread::scope(|scope| {
            for writer in 0..4 {
                let queue = &queue;
                scope.spawn(move || {
                    for n in 0..500 {
                        queue.push(format!("{writer} {n}\n").as_bytes(), Urgency::Soon);
                    }
                });
            }
        });
    });
    let text = kept.text();
    for writer in ["0", "1", "2", "3"] {
        let of_writer =
            text.lines().filter_map(|line| line.split_once(' ')).filter(|(who, _)| *who == writer);
        let numbers: Vec<usize> = of_writer.map(|(_, n)| n.parse().unwrap()).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "a clean stop loses and moves nothing");
    }
    assert!(kept.n_writes() < 1_000, "lines are written together, not in {} writes", kept.n_writes());
}

#[test]
fn lines_come_out_by_themselves() {
    let kept = Kept::default();
    let queue = Queue::new(1 << 10, kept.clone());
    with_writer(&queue, || {
        queue.push(b"alone\n", Urgency::Soon);
        let state = queue.state();
        let (state, waited) =
            queue.written.wait_timeout_while(state, LONG, |state| state.n_out == 0).unwrap();
        assert!(!waited.timed_out() && state.n_out == 6);
        assert_eq!(kept.text(), "alone\n");
    });
}

#[test]
fn an_error_and_all_before_it_are_out_when_it_is_logged() {
    let kept = Kept::default();
    let queue = Queue::new(1 << 20, kept.clone());
    with_writer(&queue, || {
        for n in 0..50 {
            queue.push(b"before\n", Urgency::Soon);
            queue.push(format!("error {n}\n").as_bytes(), Urgency::Now);
            assert!(kept.text().ends_with(&format!("before\nerror {n}\n")));
        }
    });
}

#[test]
fn a_log_that_nobody_takes_holds_nobody_up_and_the_loss_is_counted() {
    let kept = Kept::default();
    let queue = Queue::new(100, kept.clone());
    kept.shut(true);
    let before = super::DROPPED.get();
    with_writer(&queue, || {
        queue.push(b"held\n", Urgency::Soon);
        kept.wait_for_held();
        for _ in 0..100 {
            queue.push(b"ten bytes\n", Urgency::Now);
        }
        assert!(queue.state().n_dropped >= 90 && super::DROPPED.get() - before >= 90);
        assert!(!queue.flush(Duration::ZERO), "nothing is claimed to be written");
        kept.shut(false);
        assert!(queue.flush(LONG));
        queue.push(b"again\n", Urgency::Now);
    });
    let text = kept.text();
    assert!(text.starts_with("held\nten bytes\n") && text.ends_with("again\n"), "{text}");
    assert_eq!(text.lines().count(), 12, "ten of a hundred had room");
}

/// The line is one that the log shows whole: names under `log.` are taken out of lines.
#[test]
fn what_was_dropped_is_told_when_the_log_is_taken_again() {
    let kept = Kept::default();
    let queue = Arc::new(Queue::new(200, kept.clone()));
    let lines = crate::log::line::Lines(queue.clone());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines).finish();
    kept.shut(true);
    thread::scope(|scope| {
        let writer = &queue;
        scope.spawn(move || tracing::subscriber::with_default(subscriber, || writer.run()));
        queue.push(b"held\n", Urgency::Soon);
        kept.wait_for_held();
        for _ in 0..30 {
            queue.push(b"ten bytes\n", Urgency::Soon);
        }
        kept.shut(false);
        let state = queue.state();
        let told = |state: &mut super::State| state.n_in == state.n_out && kept.text().contains("dropped");
        let (state, waited) = queue.written.wait_timeout_while(state, LONG, |state| !told(state)).unwrap();
        drop(state);
        queue.close();
        assert!(!waited.timed_out());
    });
    assert!(kept.text().contains("lines.dropped=10"), "{}", kept.text());
}

#[test]
fn after_the_end_lines_go_straight_through() {
    let kept = Kept::default();
    let queue = Queue::new(100, kept.clone());
    with_writer(&queue, || {});
    queue.push(b"late\n", Urgency::Soon);
    assert_eq!(kept.text(), "late\n");
}
