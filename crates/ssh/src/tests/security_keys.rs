//! Keys that live on a security key, with an authenticator in software that signs as OpenSSH's does.
//!
//! Source: OpenSSH PROTOCOL.u2f, "SSH U2F signatures".

use super::harness::Harness;
use russh::AgentAuthError;
use russh::client::{self, Handler};
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_key::sha2::{Digest, Sha256};
use russh::keys::{HashAlg, PrivateKey, PublicKey, PublicKeyOrCertificate};
use std::sync::Arc;

const NAME: &[u8] = b"sk-ssh-ed25519@openssh.com";

/// The application that keys of SSH are made for.
const APPLICATION: &[u8] = b"ssh:";

/// The flag that says that somebody touched the key.
const TOUCHED: u8 = 1;

struct Client;

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// A security key: what it signs, and what the client then claims that it signed.
#[derive(Clone)]
struct Authenticator {
    key: PrivateKey,
    application: &'static [u8],
    flags: u8,
    claimed_flags: u8,
    counter: u32,
    claimed_counter: u32,
}

impl Authenticator {
    fn new(key: PrivateKey) -> Self {
        let (flags, counter) = (TOUCHED, 7);
        Self { key, application: APPLICATION, flags, claimed_flags: flags, counter, claimed_counter: counter }
    }

    /// The key's blob: name, point and application.
    fn blob(&self) -> Vec<u8> {
        let point = self.key.public_key().key_data().ed25519().unwrap().0;
        [string(NAME), string(&point), string(APPLICATION)].concat()
    }

    /// A signature over the digest of the application, flags, counter and the digest of the message.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signed = Sha256::digest(self.application).to_vec();
        signed.push(self.flags);
        signed.extend(self.counter.to_be_bytes());
        signed.extend(Sha256::digest(message));
        let signature = self.key.key_data().ed25519().unwrap().try_sign(&signed).unwrap();
        let mut blob = [string(NAME), string(signature.as_bytes())].concat();
        blob.push(self.claimed_flags);
        blob.extend(self.claimed_counter.to_be_bytes());
        blob
    }
}

impl russh::Signer for Authenticator {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        mut request: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let signature = self.sign(&request);
        request.extend(string(&signature));
        Ok(request)
    }
}

/// A string of the SSH wire format.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [length.as_slice(), bytes].concat()
}

/// Makes an authenticator whose key is bob's.
async fn bobs(harness: &Harness) -> Authenticator {
    harness.make_key("token", &["-t", "ed25519"]).await;
    let authenticator =
        Authenticator::new(russh::keys::load_secret_key(harness.path("token"), None).unwrap());
    let public = PublicKey::from_bytes(&authenticator.blob()).unwrap();
    std::fs::write(harness.path("token.pub"), public.to_openssh().unwrap()).unwrap();
    harness.allow("token", "bob");
    authenticator
}

async fn signs_in(harness: &Harness, mut authenticator: Authenticator) -> bool {
    let address = ("127.0.0.1", harness.port);
    let mut handle = client::connect(Arc::new(client::Config::default()), address, Client).await.unwrap();
    let public = PublicKey::from_bytes(&authenticator.blob()).unwrap();
    let answer = handle.authenticate_publickey_with("git", public, None, &mut authenticator).await;
    answer.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_key_signs_in_when_it_was_touched() {
    let harness = Harness::start().await;
    let token = bobs(&harness).await;
    assert!(signs_in(&harness, token.clone()).await);
    let verified = TOUCHED | 4;
    let with_pin = Authenticator { flags: verified, claimed_flags: verified, ..token };
    assert!(signs_in(&harness, with_pin).await, "a PIN beside the touch does no harm");
    harness.wait_for_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_security_key_did_not_sign_is_refused() {
    let harness = Harness::start().await;
    let token = bobs(&harness).await;
    for (what, forged) in [
        ("a touch that was none", Authenticator { flags: 0, ..token.clone() }),
        ("another count", Authenticator { claimed_counter: 8, ..token.clone() }),
        (
            "a signature for a web site",
            Authenticator { application: b"https://example.org", ..token.clone() },
        ),
    ] {
        assert!(!signs_in(&harness, forged).await, "{what} signed in");
    }
    let stranger = russh::keys::load_secret_key(harness.path("alice"), None).unwrap();
    assert!(!signs_in(&harness, Authenticator::new(stranger)).await, "nobody added this one");
    harness.wait_for_rest().await;
}
