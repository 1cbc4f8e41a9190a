//! How a process ends: the first SIGTERM or SIGINT drains, the second cuts. SIGHUP reloads and never ends it.

use hakata_runtime::tasks::{Drained, Tasks};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Something done on SIGHUP, such as reading certificates again.
type Reload = Box<dyn Fn() + Send + Sync>;

/// The end of a process, shared by those who bring it about and those who must know; cheap to clone.
#[derive(Clone)]
pub struct Shutdown(Arc<Shared>);

struct Shared {
    tasks: Tasks,
    limit: Duration,
    asked: CancellationToken,
    pressed: CancellationToken,
    reloads: Mutex<Vec<Reload>>,
}

/// The signals of a process that ends in good order. Made early, so that none is missed.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Shutdown {
    /// Prepares the end of `tasks`, which may take `limit` to finish what they do.
    pub fn new(tasks: Tasks, limit: Duration) -> Self {
        let (asked, pressed) = (CancellationToken::new(), CancellationToken::new());
        Self(Arc::new(Shared { tasks, limit, asked, pressed, reloads: Mutex::default() }))
    }

    /// Asks for the end as a signal does: once to drain, again to cut.
    pub fn request(&self) {
        if self.is_draining() {
            self.0.pressed.cancel();
        }
        self.0.asked.cancel();
    }

    /// Tells whether the end was asked for; a server is not ready from then on.
    pub fn is_draining(&self) -> bool {
        self.0.asked.is_cancelled()
    }

    /// Waits until the end is asked for.
    pub async fn draining(&self) {
        self.0.asked.cancelled().await;
    }

    /// Adds something to do on SIGHUP.
    pub fn on_reload(&self, reload: impl Fn() + Send + Sync + 'static) {
        self.reloads().push(Box::new(reload));
    }

    /// Does what SIGHUP does.
    pub fn reload(&self) {
        tracing::info!("reloading");
        for reload in self.reloads().iter() {
            reload();
        }
    }

    /// Runs until the end was asked for and the tasks are gone, minding the signals.
    pub async fn run(&self, mut signals: Signals) -> Drained {
        let mut end = std::pin::pin!(self.end());
        loop {
            tokio::select! {
                drained = &mut end => return drained,
                _ = signals.terminate.recv() => self.request(),
                _ = signals.interrupt.recv() => self.request(),
                _ = signals.hangup.recv() => self.reload(),
            }
        }
    }

    /// Waits until the end is asked for, drains, and cuts at the limit or when asked again.
    pub async fn end(&self) -> Drained {
        self.draining().await;
        let tasks = &self.0.tasks;
        let running = tasks.live();
        tracing::info!(tasks.running = running, limit_s = self.0.limit.as_secs(), "draining");
        let drained = tokio::select! {
            drained = tasks.drain(self.0.limit) => drained,
            () = self.0.pressed.cancelled() => {
                let cut = tasks.live();
                tasks.cut().await;
                Drained { finished: running.saturating_sub(cut), cut }
            }
        };
        tracing::info!(tasks.finished = drained.finished, tasks.cut = drained.cut, "drained");
        drained
    }

    fn reloads(&self) -> std::sync::MutexGuard<'_, Vec<Reload>> {
        self.0.reloads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("draining", &self.is_draining()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn the_limit_cuts_what_does_not_finish() {
        let tasks = Tasks::new();
        tasks.spawn("test_deaf", pending::<()>());
        let shutdown = Shutdown::new(tasks.clone(), Duration::from_secs(60));
        shutdown.request();
        let start = Instant::now();
        assert_eq!(shutdown.end().await, Drained { finished: 0, cut: 1 });
        assert_eq!((start.elapsed().as_secs(), tasks.live()), (60, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_request_cuts_at_once() {
        let tasks = Tasks::new();
        tasks.spawn("test_deaf", pending::<()>());
        let shutdown = Shutdown::new(tasks.clone(), Duration::from_secs(60));
        let twin = shutdown.clone();
        assert!(!twin.is_draining());
        twin.request();
        let start = Instant::now();
        let press = async {
            shutdown.draining().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            twin.request();
        };
        let (drained, ()) = tokio::join!(shutdown.end(), press);
        assert_eq!((drained.cut, start.elapsed().as_secs()), (1, 1));
    }

    #[tokio::test]
    async fn real_signals_reload_then_end() {
        let tasks = Tasks::new();
        let token = tasks.cancel_token();
        tasks.spawn("test_polite", async move { token.cancelled().await });
        let shutdown = Shutdown::new(tasks, Duration::from_secs(60));
        let reloads = Arc::new(AtomicUsize::new(0));
        let (seen, ender) = (reloads.clone(), shutdown.clone());
        shutdown.on_reload(move || {
            seen.fetch_add(1, Ordering::SeqCst);
            raise(rustix::process::Signal::TERM);
        });
        let signals = Signals::listen().unwrap();
        raise(rustix::process::Signal::HUP);
        let drained = ender.run(signals).await;
        assert_eq!((drained, reloads.load(Ordering::SeqCst)), (Drained { finished: 1, cut: 0 }, 1));
    }

    fn raise(signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
    }
}
