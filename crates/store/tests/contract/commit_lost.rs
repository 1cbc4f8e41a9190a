//! A COMMIT whose answer is lost: reported as such and never repeated, because it may have happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hakata_store::testing::TestDatabase;
use hakata_store::{Db, Engine, Settings, StoreError, settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Relays to a server. Once armed, it cuts the connection in which a COMMIT passes: after the server has answered it,
/// but before the answer is passed on.
async fn relay(upstream: String, is_armed: Arc<AtomicBool>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(relay_one(client, server, is_armed.clone()));
        }
    });
    address
}

async fn relay_one(mut client: TcpStream, mut server: TcpStream, is_armed: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut is_cut = false;
    loop {
        tokio::select! {
            n = client.read(&mut asked) => {
                let Ok(n @ 1..) = n else { return };
                let has_commit = asked[..n].windows(6).any(|word| word == b"COMMIT");
                is_cut |= has_commit && is_armed.load(Ordering::SeqCst);
                if server.write_all(&asked[..n]).await.is_err() { return }
            }
            n = server.read(&mut answered) => {
                let Ok(n @ 1..) = n else { return };
                if is_cut || client.write_all(&answered[..n]).await.is_err() { return }
            }
        }
    }
}

async fn a_lost_commit_is_reported(database: TestDatabase, standard_port: &str, plain: &str) {
    let direct = database.migrated().await;
    let url = database.url();
    let behind_login = url.split_once("://").and_then(|(_, rest)| rest.rsplit('@').next());
    let upstream = behind_login.and_then(|rest| rest.split('/').next()).filter(|host| host.contains(':'));
    let upstream = upstream.unwrap_or(standard_port).to_owned();
    let is_armed = Arc::new(AtomicBool::new(false));
    let address = relay(upstream.clone(), is_armed.clone()).await;
    let url = format!("{}?{plain}", url.replace(&upstream, &address.to_string()));
    let db = Db::open(&Settings { max_connections: 1, ..Settings::new(url) }).await.unwrap();
    db.transaction(|tx| Box::pin(async move { settings::set(tx, "before", "1").await })).await.unwrap();
    is_armed.store(true, Ordering::SeqCst);
    let n_runs = AtomicU32::new(0);
    let n_runs = &n_runs;
    let lost: Result<(), StoreError> = db
        .transaction(|tx| {
            Box::pin(async move {
                n_runs.fetch_add(1, Ordering::SeqCst);
                settings::set(tx, "lost", "1").await
            })
        })
        .await;
    assert!(matches!(lost, Err(StoreError::CommitUnknown(_))), "{lost:?}");
    assert_eq!(n_runs.load(Ordering::SeqCst), 1, "a commit that may have happened is not repeated");
    let found = settings::find(&mut direct.read().await.unwrap(), "lost").await.unwrap();
    assert_eq!(found.as_deref(), Some("1"), "this one has happened");
    is_armed.store(false, Ordering::SeqCst);
    db.transaction(|tx| Box::pin(async move { settings::set(tx, "after", "1").await })).await.unwrap();
}

#[test]
fn a_lost_commit_is_reported_on_postgres() {
    hakata_store::testing::run(Engine::Postgres, |database| {
        a_lost_commit_is_reported(database, "127.0.0.1:5432", "sslmode=disable")
    });
}

#[test]
fn a_lost_commit_is_reported_on_mariadb() {
    hakata_store::testing::run(Engine::MySql, |database| {
        a_lost_commit_is_reported(database, "127.0.0.1:3306", "ssl-mode=DISABLED")
    });
}
