//! What an operator reads when a bucket cannot be used.

use hakata_blob::{CredentialSource, S3Settings};
use http::Method;

use crate::engine::{Engine, Fault};

/// Opens, and returns the whole chain of the error.
async fn refusal(engine: &Engine, change: impl FnOnce(&mut S3Settings)) -> String {
    let change = |at: &mut S3Settings| {
        at.retry_for = std::time::Duration::ZERO;
        change(at);
    };
    let error = engine.open_with(change).await.unwrap_err();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn keys(access_key: &str, secret_key: &str) -> CredentialSource {
    CredentialSource::Keys {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned().into(),
        session_token: None,
    }
}

#[tokio::test]
async fn a_start_leaves_nothing_in_the_bucket() {
    let engine = Engine::start().await;
    drop(engine.open().await);
    assert_eq!(engine.objects(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn each_mistake_is_called_by_its_name() {
    let engine = Engine::start().await;
    let said = refusal(&engine, |at| at.credentials = keys("test", "wrong")).await;
    assert!(said.contains("the secret key is not that of the access key: storage.s3.secret_key"), "{said}");
    let said = refusal(&engine, |at| at.credentials = keys("nobody", "wrong")).await;
    assert!(said.contains("storage.s3.access_key") || said.contains("does not let us write"), "{said}");
    let said = refusal(&engine, |at| at.endpoint = "http://127.0.0.1:1".to_owned()).await;
    assert!(said.contains("http://127.0.0.1:1 cannot be reached: storage.s3.endpoint"), "{said}");
    let said = refusal(&engine, |at| at.endpoint = "nonsense".to_owned()).await;
    assert!(said.contains("make no URL"), "{said}");
    let said = refusal(&engine, |at| at.certificates = Some("/does/not/exist.pem".into())).await;
    assert!(said.contains("reading the authorities in /does/not/exist.pem"), "{said}");
}

#[tokio::test]
async fn what_amazon_says_is_put_into_words() {
    for (method, fault, words) in [
        (
            Method::PUT,
            Fault::Answer(403, "AccessDenied"),
            "may not write in bucket \"packs\": allow s3:PutObject",
        ),
        (Method::GET, Fault::Answer(403, "AccessDenied"), "may not read in bucket"),
        (Method::DELETE, Fault::Answer(403, "AccessDenied"), "may not delete in bucket"),
        (
            Method::HEAD,
            Fault::Answer(403, ""),
            "may not list bucket \"packs\", so what is absent looks forbidden",
        ),
        (
            Method::PUT,
            Fault::Answer(404, "NoSuchBucket"),
            "there is no bucket \"packs\" at http://127.0.0.1:",
        ),
        (Method::PUT, Fault::Answer(403, "RequestTimeTooSkewed"), "the clock of this machine differs"),
        (Method::PUT, Fault::Answer(400, "AuthorizationHeaderMalformed"), "is not in region \"us-east-1\""),
        (Method::PUT, Fault::Answer(301, "PermanentRedirect"), "is not in region"),
        (Method::PUT, Fault::Answer(403, "InvalidAccessKeyId"), "does not know the access key"),
        (Method::PUT, Fault::Answer(301, ""), "sends us elsewhere"),
    ] {
        let engine = Engine::start().await;
        engine.fault(method.clone(), "", 9, fault.clone());
        let said = refusal(&engine, |_| {}).await;
        assert!(said.contains(words), "{method} {fault:?}: {said}");
        assert!(!said.contains("testsecret") && !said.contains("Signature="), "{said}");
    }
}
