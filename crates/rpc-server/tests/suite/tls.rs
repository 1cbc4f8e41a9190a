//! Both protocols over TLS, with callers that have a certificate, a bad one, or none.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hakata_rpc::v1::InfoRequest;
use hakata_rpc::{Call, Code, Endpoint, Operations, Status, grpc, msgpack, tls as client_tls};
use hakata_rpc_server::{Settings, Tokens};
use hakata_runtime::secret::Secret;
use hakata_service::tls::{Config, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::fixture::{TOKEN, World, serve};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Two servers behind TLS, and the certificates of everybody.
struct Place {
    world: World,
    dir: tempfile::TempDir,
    authority: Authority,
    tls: Tls,
    at: (SocketAddr, SocketAddr),
}

/// Which certificates a caller has.
#[derive(Clone, Copy)]
struct Caller<'a> {
    trusts: &'a str,
    shows: Option<&'a str>,
    token: Option<&'a str>,
}

const WEB: Caller<'static> = Caller { trusts: "ca", shows: Some("web"), token: None };

fn new_authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write(dir: &Path, name: &str, pem: &str) {
    std::fs::write(dir.join(name), pem).unwrap();
}

/// Signs a certificate for one name.
fn sign(dir: &Path, authority: &Authority, file: &str, name: &str, is_expired: bool) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if is_expired {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, authority).unwrap();
    write(dir, &format!("{file}.pem"), &signed.pem());
    write(dir, &format!("{file}.key"), &key.serialize_pem());
}

impl Place {
    async fn new(asks_clients: bool, tokens: Vec<Secret<String>>) -> Self {
        let world = World::new().await;
        let dir = tempfile::tempdir().unwrap();
        let authority = new_authority("one");
        write(dir.path(), "ca.pem", &authority.pem());
        for (file, name, is_expired) in [
            ("server", "localhost", false),
            ("web", "web.internal", false),
            ("old", "web.internal", true),
            ("other", "other.internal", false),
        ] {
            sign(dir.path(), &authority, file, name, is_expired);
        }
        let stranger = new_authority("stranger");
        write(dir.path(), "stranger-ca.pem", &stranger.pem());
        sign(dir.path(), &stranger, "stranger", "web.internal", false);
        let path = |name: &str| dir.path().join(name);
        let tls = Tls::load(Config {
            certificate: path("server.pem"),
            key: path("server.key"),
            client_authority: asks_clients.then(|| path("ca.pem")),
        });
        let tls = tls.unwrap();
        let tokens = Tokens::new(tokens).or_names(vec!["web.internal".to_owned()]);
        let at = serve(world.local.clone(), tokens, Settings::default(), Some(tls.clone()), &world.tasks);
        Self { world, dir, authority, tls, at }
    }

    fn endpoint(&self, at: SocketAddr, caller: Caller<'_>) -> Endpoint {
        let path = |name: &str| -> PathBuf { self.dir.path().join(name) };
        let config = client_tls::Config {
            authority: path(&format!("{}.pem", caller.trusts)),
            identity: caller.shows.map(|name| (path(&format!("{name}.pem")), path(&format!("{name}.key")))),
            name: None,
        };
        let tls = Some(client_tls::Tls::load(&config).unwrap());
        let endpoint = Endpoint { tls, ..Endpoint::new(format!("localhost:{}", at.port())) };
        match caller.token {
            Some(token) => endpoint.with_token(token),
            None => endpoint,
        }
    }

    /// Asks both servers something, each over a new connection.
    async fn ask(&self, caller: Caller<'_>) -> [Result<(), Status>; 2] {
        let grpc = grpc::Grpc::lazy(&self.endpoint(self.at.0, caller)).unwrap();
        let msgpack = msgpack::Msgpack::lazy(self.endpoint(self.at.1, caller), self.world.tasks.clone());
        [asked(&grpc).await, asked(&msgpack).await]
    }
}

async fn asked(to: &dyn Operations) -> Result<(), Status> {
    to.info(Call::default(), InfoRequest {}).await.map(drop)
}

fn both_fail(answers: [Result<(), Status>; 2], code: Code, says: &str) {
    for answer in answers {
        let status = answer.expect_err(says);
        assert_eq!(status.code, code, "{status}");
        assert!(status.message.contains(says), "{says}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_certificate_needs_no_token_and_any_other_does() {
    let place = Place::new(true, vec![Secret::new(TOKEN.to_owned())]).await;
    for answer in place.ask(WEB).await {
        answer.unwrap();
    }
    let other = Caller { shows: Some("other"), ..WEB };
    both_fail(place.ask(other).await, Code::Unauthenticated, "the service wants a token");
    for answer in place.ask(Caller { token: Some(TOKEN), ..other }).await {
        answer.unwrap();
    }
    both_fail(place.ask(Caller { token: Some("wrong"), ..other }).await, Code::Unauthenticated, "wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_good_are_told_to_both_sides() {
    let place = Place::new(true, vec![Secret::new(TOKEN.to_owned())]).await;
    let with = |shows| Caller { shows, token: Some(TOKEN), ..WEB };
    both_fail(place.ask(with(None)).await, Code::Unavailable, "CertificateRequired");
    both_fail(place.ask(with(Some("old"))).await, Code::Unavailable, "CertificateExpired");
    both_fail(place.ask(with(Some("stranger"))).await, Code::Unavailable, "UnknownCA");
    let mistrusting = Caller { trusts: "stranger-ca", ..with(Some("web")) };
    both_fail(place.ask(mistrusting).await, Code::Unavailable, "UnknownIssuer");
    hakata_runtime::metrics::register(&hakata_service::metrics());
    for (listener, reason, least) in [
        ("rpc_grpc", "no_certificate", 1),
        ("rpc_grpc", "certificate", 2),
        ("rpc_msgpack", "no_certificate", 1),
        ("rpc_msgpack", "certificate", 2),
        ("rpc_msgpack", "refused", 1),
    ] {
        let series =
            format!("hakata_tls_handshakes_failed_total{{listener=\"{listener}\",reason=\"{reason}\"}} ");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        // A server may count what its caller has heard of already.
        loop {
            let metrics = hakata_runtime::metrics::render();
            let value = metrics.lines().find_map(|line| line.strip_prefix(&series)).unwrap_or("0");
            if value.parse::<u64>().unwrap() >= least {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "{series}{value}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_only_the_named_get_in() {
    let place = Place::new(true, Vec::new()).await;
    for answer in place.ask(WEB).await {
        answer.unwrap();
    }
    let other = Caller { shows: Some("other"), ..WEB };
    both_fail(place.ask(other).await, Code::Unauthenticated, "wants a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_no_certificate_believes_none() {
    let place = Place::new(false, vec![Secret::new(TOKEN.to_owned())]).await;
    both_fail(place.ask(WEB).await, Code::Unauthenticated, "wants a token");
    for answer in place.ask(Caller { shows: None, token: Some(TOKEN), ..WEB }).await {
        answer.unwrap();
    }
    let clear = Endpoint::new(format!("localhost:{}", place.at.1.port())).with_token(TOKEN);
    let clear = msgpack::Msgpack::lazy(clear, place.world.tasks.clone());
    assert_eq!(
        asked(&clear).await.unwrap_err().code,
        Code::Unavailable,
        "a caller in the clear is not served"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_certificates_hold_for_new_connections_and_old_ones_stay() {
    let place = Place::new(true, Vec::new()).await;
    let endpoint = Endpoint { n_connections: 1, ..place.endpoint(place.at.1, WEB) };
    let old = msgpack::Msgpack::lazy(endpoint, place.world.tasks.clone());
    asked(&old).await.unwrap();
    let fresh = new_authority("fresh");
    write(place.dir.path(), "ca.pem", &fresh.pem());
    sign(place.dir.path(), &fresh, "server", "localhost", false);
    place.tls.reload().unwrap();
    both_fail(place.ask(WEB).await, Code::Unavailable, "UnknownCA");
    sign(place.dir.path(), &fresh, "web", "web.internal", false);
    for answer in place.ask(WEB).await {
        answer.unwrap();
    }
    drop(place.authority);
    asked(&old).await.unwrap();
}
