//! Listening sockets that a service manager holds and hands over, so that a restart refuses nobody.

use super::Address;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::Socket as Raw;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The first descriptor handed over. Source: sd_listen_fds(3).
const FIRST: i32 = 3;

/// More are a mistake.
const MAX: i32 = 64;

/// A listening socket that somebody else bound.
#[derive(Debug)]
pub struct Inherited {
    pub(super) socket: Raw,
    address: Address,
    name: String,
}

/// The three variables of the protocol, as they stand in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activation<'a> {
    /// `LISTEN_PID`: for which process the sockets are.
    pub pid: Option<&'a str>,
    /// `LISTEN_FDS`: how many there are.
    pub fds: Option<&'a str>,
    /// `LISTEN_FDNAMES`: what they are called, divided by colons.
    pub names: Option<&'a str>,
}

/// Why sockets could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The count is no small number.
    #[error("the number of sockets handed over is {0:?}")]
    Count(String),
    /// A descriptor is missing, or no listening socket.
    #[error("taking over descriptor {descriptor}")]
    Descriptor {
        /// Its number.
        descriptor: i32,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
}

impl Inherited {
    /// The address it listens on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What the service manager calls it; empty if nothing.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes over the sockets that are for this process; none is no error.
    ///
    /// Each is a duplicate made through a process descriptor, which needs no unsafe code. The originals stay open,
    /// also in children that we start; the service manager keeps such a socket open in any case.
    ///
    /// # Errors
    /// When what the variables promise is not there.
    pub fn take(activation: Activation<'_>) -> Result<Vec<Self>, InheritError> {
        let for_us = activation.pid.and_then(|pid| pid.parse().ok()) == Some(getpid().as_raw_nonzero().get());
        let (true, Some(fds)) = (for_us, activation.fds) else { return Ok(Vec::new()) };
        let n = fds.parse().ok().filter(|n| (0..=MAX).contains(n));
        let n: i32 = n.ok_or_else(|| InheritError::Count(fds.to_owned()))?;
        let mut names = activation.names.unwrap_or("").split(':');
        let take = |descriptor| {
            let name = names.next().unwrap_or("").to_owned();
            Self::adopt(descriptor, name).map_err(|source| InheritError::Descriptor { descriptor, source })
        };
        (FIRST..FIRST + n).map(take).collect()
    }

    fn adopt(descriptor: i32, name: String) -> io::Result<Self> {
        let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
        let socket = Raw::from(pidfd_getfd(ourselves, descriptor, PidfdGetfdFlags::empty())?);
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this socket does not listen"));
        }
        let local = socket.local_addr()?;
        let tcp: Option<SocketAddr> = local.as_socket();
        let address = match tcp {
            Some(address) => Address::Tcp(address),
            None => Address::Unix(local.as_pathname().map_or_else(PathBuf::new, PathBuf::from)),
        };
        Ok(Self { socket, address, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_listening_socket_is_adopted_and_others_are_not() {
        let original = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let adopted = Inherited::adopt(original.as_raw_fd(), "http".to_owned()).unwrap();
        assert_eq!(adopted.address().tcp(), Some(original.local_addr().unwrap()));
        let client = std::net::TcpStream::connect(original.local_addr().unwrap()).unwrap();
        assert!(Inherited::adopt(client.as_raw_fd(), String::new()).is_err(), "no listener");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Inherited::adopt(file.as_raw_fd(), String::new()).is_err(), "no socket");
        assert!(Inherited::adopt(9_999, String::new()).is_err(), "no descriptor");
    }

    #[test]
    fn variables_for_another_process_are_none_of_ours() {
        let elsewhere = Activation { pid: Some("1"), fds: Some("2"), names: None };
        assert!(Inherited::take(elsewhere).unwrap().is_empty());
        assert!(Inherited::take(Activation::default()).unwrap().is_empty());
        let pid = std::process::id().to_string();
        for fds in ["-1", "many", "65"] {
            let odd = Activation { pid: Some(&pid), fds: Some(fds), names: None };
            assert!(matches!(Inherited::take(odd), Err(InheritError::Count(_))), "{fds}");
        }
    }
}
