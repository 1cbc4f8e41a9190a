//! A conversation in bytes, by either kind of socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long anything may take that takes a moment.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection, by either kind of socket.
pub enum Talk {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a socket in the file system.
    Unix(UnixStream),
}

impl Talk {
    /// Connects to `HOST:PORT` or `unix:PATH`; reads fail after some seconds.
    ///
    /// # Errors
    /// If nobody accepts.
    pub fn to(address: &str) -> Result<Self> {
        let what = || format!("connecting to {address}");
        let talk = match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(UnixStream::connect(path).with_context(what)?),
            None => Self::Tcp(TcpStream::connect(address).with_context(what)?),
        };
        match &talk {
            Self::Tcp(stream) => stream.set_read_timeout(Some(LIMIT))?,
            Self::Unix(stream) => stream.set_read_timeout(Some(LIMIT))?,
        }
        Ok(talk)
    }

    /// Another handle to the same connection.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn twin(&self) -> Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// Makes the end of this handle reset the connection.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn reset_on_drop(&self) -> Result<()> {
        let now = Some(Duration::ZERO);
        match self {
            Self::Tcp(stream) => rustix::net::sockopt::set_socket_linger(stream, now),
            Self::Unix(stream) => rustix::net::sockopt::set_socket_linger(stream, now),
        }
        .context("asking for a reset")
    }

    /// Lets reads fail after this time.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_read_timeout(&self, limit: Duration) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_read_timeout(Some(limit)),
        }
        .context("limiting reads")
    }

    /// Lets writes fail after this time.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_write_timeout(&self, limit: Duration) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(limit)),
            Self::Unix(stream) => stream.set_write_timeout(Some(limit)),
        }
        .context("limiting writes")
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the other side is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        };
        sent.context("sending")
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// If nothing comes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        };
        read.context("reading")
    }

    /// Reads up to the first place that ends so, which must be the last that came.
    ///
    /// # Errors
    /// If it does not come; the error tells what did.
    pub fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while !all.ends_with(end) {
            let tell = |all: &[u8]| {
                let last = &all[all.len().saturating_sub(200)..];
                format!(
                    "waiting for {:?} behind {:?}",
                    end.escape_ascii().to_string(),
                    last.escape_ascii().to_string()
                )
            };
            let n_read = self.read(&mut buffer).with_context(|| tell(&all))?;
            ensure!(n_read > 0, "the server closed: {}", tell(&all));
            all.extend_from_slice(&buffer[..n_read]);
        }
        Ok(all)
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// If they do not come.
    pub fn exactly(&mut self, n_bytes: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; n_bytes];
        match self {
            Self::Tcp(stream) => stream.read_exact(&mut bytes),
            Self::Unix(stream) => stream.read_exact(&mut bytes),
        }
        .with_context(|| format!("reading {n_bytes} bytes"))?;
        Ok(bytes)
    }

    /// Asks and reads the reply, whose end is known.
    ///
    /// # Errors
    /// If it does not come.
    pub fn ask(&mut self, request: &str, end: &str) -> Result<String> {
        self.send(request.as_bytes())?;
        Ok(String::from_utf8(self.until(end.as_bytes())?)?)
    }

    /// Fetches one id.
    ///
    /// # Errors
    /// If there is none.
    pub fn fetch(&mut self) -> Result<u64> {
        let reply = self.ask("get k\r\n", "\r\n")?;
        ensure!(!reply.contains("ERROR"), "no id: {reply:?}");
        let reply = if reply.ends_with("END\r\n") { reply } else { reply + &self.ask("", "END\r\n")? };
        let id = reply.strip_prefix("VALUE k 0 ").and_then(|rest| rest.split("\r\n").nth(1));
        id.with_context(|| format!("{reply:?} holds no id"))?.parse().context("an id is a number")
    }

    /// Reads everything up to the end of the connection; a reset is an end as well.
    ///
    /// # Errors
    /// If it does not end in time.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match self {
                Self::Tcp(stream) => stream.read(&mut buffer),
                Self::Unix(stream) => stream.read(&mut buffer),
            };
            match read {
                Ok(0) => return Ok(all),
                Ok(n_read) => all.extend_from_slice(&buffer[..n_read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(all),
                Err(error) => return Err(error).context("waiting for the end of the connection"),
            }
        }
    }

    /// Ends our side; the other one may go on.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn finish(&self) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .context("ending our side")
    }
}
