//! A receiver of webhooks: answers as it is told and keeps what it got.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    got: mpsc::UnboundedReceiver<Got>,
}

/// A request.
pub(super) struct Got {
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    /// Starts one whose answers are these, the last one again and again: status line and further headers.
    pub(super) async fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, got) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut n = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                let _ = told.send(request);
                let head = answers[n.min(answers.len() - 1)];
                n += 1;
                let _ = stream
                    .write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .await;
            }
        });
        Self { address, got }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The next request, which must have come already.
    pub(super) fn got(&mut self) -> Got {
        self.got.try_recv().expect("a request came")
    }

    pub(super) fn got_nothing(&mut self) -> bool {
        self.got.try_recv().is_err()
    }
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: HashMap<String, String> =
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if body.len() >= headers["content-length"].parse::<usize>().unwrap() {
            return Some(Got { headers, body: body.to_owned() });
        }
    }
}
