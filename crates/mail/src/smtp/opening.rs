//! From a name to a connection that the server has greeted on, encrypted as it shall be.
//!
//! What the server says before TLS begins is read here and thrown away, and nothing may be left of it: an answer that
//! was slipped in before would be believed after. Source: RFC 3207, section 6.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf,
};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{answered, failure, tls};
use crate::{SendError, Smtp, Stage, TlsMode};

/// Longest line of an answer, and most lines of one. Source: RFC 5321, section 4.5.3.1.5, with room.
const MAX_LINE: u64 = 4_096;
const MAX_LINES: usize = 128;

/// Opens a connection, up to the server's answer to `EHLO`.
pub(super) async fn open(
    settings: &Smtp,
    hello: &str,
    connector: &OnceCell<TlsConnector>,
) -> Result<AsyncSmtpConnection, SendError> {
    let stream = TcpStream::connect((settings.host.as_str(), settings.port)).await;
    let stream = stream.map_err(|source| SendError::Connect { source })?;
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn AsyncTokioStream> = match settings.tls {
        TlsMode::None => Box::new(stream),
        TlsMode::Tls => {
            let stream = encrypt(settings, stream, connector).await?;
            Box::new(Greeted { greeting: b"", stream })
        }
        TlsMode::StartTls => {
            let stream = start_tls(stream, hello).await?;
            let stream = encrypt(settings, stream, connector).await?;
            // The one who speaks from here on waits for a greeting, which was before TLS.
            Box::new(Greeted { greeting: b"220 encrypted\r\n", stream })
        }
    };
    let opened =
        AsyncSmtpConnection::connect_with_transport(stream, &ClientId::Domain(hello.to_owned())).await;
    opened.map_err(|error| failure(Stage::Connecting, error))
}

async fn encrypt(
    settings: &Smtp,
    stream: TcpStream,
    connector: &OnceCell<TlsConnector>,
) -> Result<TlsStream<TcpStream>, SendError> {
    let connector =
        connector.get_or_try_init(async || tls::connector(settings.certificates.as_deref())).await?;
    let name = ServerName::try_from(settings.host.clone());
    let name = name.map_err(|error| SendError::Tls { source: io::Error::other(error) })?;
    connector.connect(name, stream).await.map_err(|source| SendError::Tls { source })
}

/// Asks for TLS in the clear.
async fn start_tls(stream: TcpStream, hello: &str) -> Result<TcpStream, SendError> {
    let mut stream = BufReader::new(stream);
    positive(answer(&mut stream).await?)?;
    let offers = positive(ask(&mut stream, &format!("EHLO {hello}\r\n")).await?)?;
    if !offers.lines().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(SendError::NoTls);
    }
    positive(ask(&mut stream, "STARTTLS\r\n").await?)?;
    match stream.buffer().is_empty() {
        true => Ok(stream.into_inner()),
        false => Err(nonsense("something follows the consent to TLS in the clear")),
    }
}

async fn ask(stream: &mut BufReader<TcpStream>, line: &str) -> Result<(u16, String), SendError> {
    stream.get_mut().write_all(line.as_bytes()).await.map_err(|source| SendError::Connect { source })?;
    answer(stream).await
}

/// Reads one answer: its code, and its lines without it.
async fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, String), SendError> {
    let mut said = String::new();
    for _ in 0..MAX_LINES {
        let mut line = Vec::new();
        let read = (&mut *stream).take(MAX_LINE).read_until(b'\n', &mut line).await;
        read.map_err(|source| SendError::Connect { source })?;
        let line = String::from_utf8_lossy(&line);
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|_| line.ends_with('\n'));
        let Some(code) = code else { return Err(nonsense("the answer is none of a mail server's")) };
        said.push_str(line[3..].trim_start_matches(['-', ' ']));
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok((code, said));
        }
    }
    Err(nonsense("the answer has too many lines"))
}

fn positive((code, said): (u16, String)) -> Result<String, SendError> {
    match code {
        200..=299 => Ok(said),
        _ => Err(answered(Stage::Connecting, code, said.trim_end().to_owned())),
    }
}

fn nonsense(what: &'static str) -> SendError {
    SendError::Connect { source: io::Error::new(io::ErrorKind::InvalidData, what) }
}

/// An encrypted stream on which a greeting stands first.
#[derive(Debug)]
struct Greeted {
    greeting: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl AsyncTokioStream for Greeted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let (now, later) = self.greeting.split_at(self.greeting.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
