//! A receiver of webhooks: threads over a socket, which answer as the test wants and keep what they got.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use crate::random::random;

/// A request as a receiver got it.
#[derive(Clone, Debug)]
pub struct Received {
    /// When its body was whole.
    pub at: Instant,
    /// The same by the time of day.
    pub time: SystemTime,
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// How a receiver answers.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// By these heads in turn, the last one again and again: `200 OK`, or with further lines.
    Answers(&'static [&'static str]),
    /// By `200 OK`, each time after a pause of its own up to this long.
    Pauses(Duration),
    /// Not at all, until the sender leaves.
    Hangs,
}

/// A listening receiver; its threads end with the test's process.
#[derive(Debug)]
pub struct WebhookReceiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl WebhookReceiver {
    /// Starts a receiver on a free port of this machine.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = received.clone();
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().flatten().enumerate() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, n, manner, &kept));
            }
        });
        Ok(Self { address, received })
    }

    /// Returns a URL of the receiver.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Counts what was received so far.
    pub fn n_received(&self) -> usize {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns what was received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, n: usize, manner: Manner, kept: &Mutex<Vec<Received>>) {
    let Some(request) = read(&mut stream) else { return };
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let mut answer = |head: &str| {
        let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    };
    match manner {
        Manner::Answers(heads) => answer(heads.get(n).or(heads.last()).copied().unwrap_or("200 OK")),
        Manner::Pauses(longest) => {
            std::thread::sleep(longest.mul_f64(f64::from(random(1_000)) / 1_000.0));
            answer("200 OK");
        }
        Manner::Hangs => {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            // The end of the connection, or a byte that nobody sends.
            let _ = stream.read(&mut [0]);
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let body = bytes[end + 4..].to_vec();
        if body.len() >= length {
            return Some(Received { at: Instant::now(), time: SystemTime::now(), path, headers, body });
        }
    }
}
