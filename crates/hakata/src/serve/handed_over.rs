//! Sockets that a service manager holds, so that a restart refuses nobody.

use crate::config::environment;
use crate::output::Failure;
use hakata_service::listener::{Activation, Inherited};

/// The sockets that were handed over and are not yet taken, by name.
#[derive(Debug)]
pub(super) struct HandedOver(Vec<Inherited>);

impl HandedOver {
    /// Takes them over; usually there are none.
    ///
    /// # Errors
    /// When what the service manager promises is not there.
    pub(super) fn receive() -> Result<Self, Failure> {
        let [pid, fds, names] = environment::activation();
        let activation = Activation { pid: pid.as_deref(), fds: fds.as_deref(), names: names.as_deref() };
        let sockets = Inherited::take(activation);
        sockets
            .map(Self)
            .map_err(|error| Failure::failed("taking over the sockets of the service manager", &error))
    }

    /// Takes the one for a listener.
    pub(super) fn take(&mut self, listener: &str) -> Option<Inherited> {
        let place = self.0.iter().position(|socket| socket.name() == listener)?;
        Some(self.0.swap_remove(place))
    }

    /// Refuses what nobody took: its clients would wait for an answer for ever.
    ///
    /// # Errors
    /// When something is left.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some(socket) => {
                let text = format!("no listener takes the socket {:?} ({})", socket.name(), socket.address());
                Err(Failure::usage(text).with_hint(
                    "FileDescriptorName= is http, ssh, admin, id, id_socket, id_http or id_grpc, each once, and that listener is not off",
                ))
            }
        }
    }
}
