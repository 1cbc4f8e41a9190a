//! A bucket for servers under test: an engine in this process, over a directory.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const BUCKET: &str = "packs";
const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "testsecret";

/// An engine with one bucket; it checks signatures.
pub struct S3Server {
    dir: tempfile::TempDir,
    address: String,
    _runtime: Runtime,
}

impl S3Server {
    /// Starts an engine on a free port.
    ///
    /// # Errors
    /// The system's.
    pub fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::create_dir(dir.path().join(BUCKET))?;
        let files = FileSystem::new(dir.path()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .context("listening as an engine of buckets")?;
        let address = listener.local_addr()?.to_string();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { dir, address, _runtime: runtime })
    }

    /// The settings of a server that keeps its packs here.
    pub fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("storage.s3.bucket", BUCKET.to_owned()),
            ("storage.s3.endpoint", format!("http://{}", self.address)),
            ("storage.s3.access_key", ACCESS_KEY.to_owned()),
            ("storage.s3.secret_key", SECRET_KEY.to_owned()),
        ]
    }

    /// Lists the files of the bucket.
    ///
    /// # Errors
    /// The file system's.
    pub fn objects(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        walk(&self.dir.path().join(BUCKET), &mut found)?;
        Ok(found)
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
