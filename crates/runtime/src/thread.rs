//! A thread with an owner, for what must go on while the runtime's own threads are busy, stuck or gone.

use crate::tasks::TaskName;
use std::io;
use std::thread::{Builder, JoinHandle};

/// A running thread. Dropping it lets the thread run on.
#[derive(Debug)]
pub struct Thread {
    handle: JoinHandle<()>,
}

impl Thread {
    /// Starts a thread under a name that tools of the system show, cut at 15 bytes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(name: TaskName, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let handle = Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { handle })
    }

    /// Waits until the work has ended. A panic in it was reported by the panic hook.
    pub fn join(self) {
        let _ = self.handle.join();
    }
}

#[cfg(test)]
mod tests {
    use super::Thread;
    use std::sync::mpsc;

    #[test]
    fn its_owner_can_wait_for_it() {
        let (sender, receiver) = mpsc::channel();
        let thread = Thread::spawn("example", move || {
            let _ = sender.send(std::thread::current().name().map(str::to_owned));
        });
        thread.unwrap().join();
        assert_eq!(receiver.try_recv().unwrap().as_deref(), Some("example"));
    }
}
