//! The `[storage]` and `[storage.s3]` tables: where packs are kept.

use crate::config::environment;
use crate::config::raw::Values;
use hakata_blob::{CredentialSource, MIN_PART, Presign, S3Settings, UrlStyle};
use hakata_runtime::secret::Secret;
use hakata_runtime::units::ByteSize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest part: one is held in memory as a whole.
const MAX_PART: ByteSize = ByteSize::mib(1024);

/// The longest time in which parts are put together.
const MAX_COMPLETE: Duration = Duration::from_secs(30 * 60);

/// Where packs are kept.
#[derive(Debug)]
pub(crate) struct Storage {
    /// A directory, unless there is a bucket.
    pub(crate) directory: PathBuf,
    /// The bucket; without a name there is none.
    pub(crate) s3: S3Settings,
    /// Whether one takes the place of the other.
    pub(crate) moving: Move,
}

/// Which store takes the place of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    No,
    ToBucket,
    ToDirectory,
}

/// Takes the values over, which were checked; `data` is the data directory.
pub(super) fn new(values: &Values, data: &Path) -> Storage {
    let text = |name| values.get(name).text().to_owned();
    let s3 = S3Settings {
        bucket: text("storage.s3.bucket"),
        prefix: text("storage.s3.prefix").trim_matches('/').to_owned(),
        endpoint: text("storage.s3.endpoint"),
        public_endpoint: text("storage.s3.public_endpoint"),
        region: text("storage.s3.region"),
        style: match values.get("storage.s3.style").text() {
            "path" => UrlStyle::Path,
            "host" => UrlStyle::VirtualHost,
            _ => UrlStyle::Auto,
        },
        credentials: credentials(values),
        certificates: values.some_text("storage.s3.certificates").map(PathBuf::from),
        part: values.size("storage.s3.part_size"),
        parts: values.count("storage.s3.parts"),
        upload_memory: values.size("storage.s3.upload_memory"),
        connections: values.count("storage.s3.connections"),
        downloads: values.count("storage.s3.downloads"),
        connect_timeout: values.duration("storage.s3.connect_timeout"),
        timeout: values.duration("storage.s3.timeout"),
        retry_for: values.duration("storage.s3.retry_for"),
        complete_timeout: values.duration("storage.s3.complete_timeout"),
        presign: match values.get("storage.s3.presign").text() {
            "get" => Presign::Get,
            "all" => Presign::GetAndPut,
            _ => Presign::Off,
        },
    };
    let moving = match values.get("storage.moving").text() {
        "to_bucket" => Move::ToBucket,
        "to_directory" => Move::ToDirectory,
        _ => Move::No,
    };
    Storage { directory: data.join(values.get("storage.blobs").text()), s3, moving }
}

/// Keys that are written down, else what the environment names, else the machine's own.
fn credentials(values: &Values) -> CredentialSource {
    let secret = |text: &str| Secret::new(text.to_owned());
    if let Some(access_key) = values.some_text("storage.s3.access_key") {
        return CredentialSource::Keys {
            access_key: access_key.to_owned(),
            secret_key: secret(values.get("storage.s3.secret_key").text()),
            session_token: None,
        };
    }
    if values.some_text("storage.s3.bucket").is_none() {
        return CredentialSource::Instance { endpoint: None };
    }
    let aws = environment::aws();
    if let (Some(access_key), Some(secret_key)) = (aws.access_key, aws.secret_key) {
        return CredentialSource::Keys {
            access_key,
            secret_key: secret_key.into(),
            session_token: aws.session_token.map(Secret::new),
        };
    }
    if let (Some(token_file), Some(role_arn)) = (aws.web_identity_token_file, aws.role_arn) {
        return CredentialSource::WebIdentity { token_file, role_arn, endpoint: aws.sts_endpoint };
    }
    if let Some(url) = aws.container_url {
        return CredentialSource::Container {
            url,
            authorization: aws.container_authorization.map(Secret::new),
            authorization_file: aws.container_authorization_file,
        };
    }
    CredentialSource::Instance { endpoint: aws.metadata_endpoint }
}

/// Checks what a bucket needs; where there is none, nothing.
pub(super) fn check(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    if values.get("storage.blobs").text().is_empty() {
        refuse("storage.blobs", "must name a directory");
    }
    let has_key = values.some_text("storage.s3.access_key").is_some();
    let Some(bucket) = values.some_text("storage.s3.bucket") else {
        if values.some_text("storage.s3.endpoint").is_some() || has_key {
            refuse("storage.s3.bucket", "must name the bucket, or nothing else of storage.s3 has a meaning");
        }
        if values.get("storage.moving").text() != "no" {
            refuse("storage.moving", "needs a bucket too: storage.s3.bucket");
        }
        return;
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_plain) {
        refuse("storage.s3.bucket", "must be 3 to 63 letters, digits, dots and dashes");
    }
    let prefix = values.get("storage.s3.prefix").text().trim_matches('/');
    let is_segment =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain);
    if !prefix.is_empty() && !prefix.split('/').all(is_segment) {
        refuse(
            "storage.s3.prefix",
            "must be names of letters, digits, dots and dashes, with slashes between",
        );
    }
    for name in ["storage.s3.endpoint", "storage.s3.public_endpoint"] {
        if let Some(url) = values.some_text(name)
            && !["http://", "https://"]
                .iter()
                .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        {
            refuse(name, "must begin with http:// or https://");
        }
    }
    if values.get("storage.s3.region").text().is_empty() {
        refuse("storage.s3.region", "must name a region; engines without regions take us-east-1");
    }
    if has_key == values.get("storage.s3.secret_key").text().is_empty() {
        refuse("storage.s3.access_key", "needs storage.s3.secret_key, and the other way round");
    }
    check_bounds(values, refuse);
}

fn check_bounds(values: &Values, refuse: &mut impl FnMut(&'static str, &str)) {
    let part = values.size("storage.s3.part_size");
    if !(MIN_PART..=MAX_PART).contains(&part) {
        refuse("storage.s3.part_size", "must be between 5MiB, the engines' least, and 1GiB");
    }
    let of_one = part.bytes().saturating_mul(values.count("storage.s3.parts") as u64);
    if values.bytes("storage.s3.upload_memory") < of_one {
        refuse(
            "storage.s3.upload_memory",
            "is less than one upload takes: storage.s3.parts × storage.s3.part_size",
        );
    }
    for name in [
        "storage.s3.connect_timeout",
        "storage.s3.timeout",
        "storage.s3.retry_for",
        "storage.s3.complete_timeout",
    ] {
        if values.duration(name) < Duration::from_secs(1) {
            refuse(name, "must be at least 1s");
        }
    }
    if values.duration("storage.s3.complete_timeout") > MAX_COMPLETE {
        refuse("storage.s3.complete_timeout", "must be at most 30m");
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::config::raw::{Setting, Sources, Values};

    fn refused(settings: &[(&str, &str)]) -> Vec<&'static str> {
        let flag = |(key, value): &(&str, &str)| Setting {
            key: format!("storage.s3.{key}"),
            value: (*value).to_owned(),
            flag: "--set",
        };
        let flags = settings.iter().map(flag).collect();
        let values = Values::read(&Sources { flags, ..Sources::default() }).unwrap();
        let mut names = Vec::new();
        check(&values, &mut |name, _| names.push(name));
        names
    }

    #[test]
    fn a_bucket_is_checked_before_it_is_asked() {
        let right = [("bucket", "packs"), ("endpoint", "http://127.0.0.1:9000"), ("prefix", "/a/b/")];
        assert_eq!(refused(&right), Vec::<&str>::new());
        assert_eq!(refused(&[]), Vec::<&str>::new());
        for (wrong, named) in [
            (&[("endpoint", "http://x")][..], "storage.s3.bucket"),
            (&[("bucket", "a/b")], "storage.s3.bucket"),
            (&[("bucket", "packs"), ("prefix", "a/../b")], "storage.s3.prefix"),
            (&[("bucket", "packs"), ("endpoint", "s3.example.org")], "storage.s3.endpoint"),
            (&[("bucket", "packs"), ("region", "")], "storage.s3.region"),
            (&[("bucket", "packs"), ("access_key", "k")], "storage.s3.access_key"),
            (&[("bucket", "packs"), ("secret_key", "k")], "storage.s3.access_key"),
            (&[("bucket", "packs"), ("part_size", "4MiB")], "storage.s3.part_size"),
            (&[("bucket", "packs"), ("upload_memory", "16MiB")], "storage.s3.upload_memory"),
            (&[("bucket", "packs"), ("timeout", "0s")], "storage.s3.timeout"),
            (&[("bucket", "packs"), ("complete_timeout", "31m")], "storage.s3.complete_timeout"),
        ] {
            assert_eq!(refused(wrong), [named], "{wrong:?}");
        }
    }
}
