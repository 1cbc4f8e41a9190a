//! Whether a bucket can be used, found out when a process starts, in words that say what to change.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hakata_runtime::secret::random_bytes;
use http::Method;

use super::error::S3Error;
use super::metrics::Operation;
use super::parts::sha256;
use super::request::{Ask, UnusableSettings};
use super::uploads::CHECKSUM;
use super::{Presign, S3};

/// What the probe writes.
const CONTENT: &[u8] = b"hakata writes this when it starts, and deletes it\n";

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableBucket {
    /// What is configured makes no sense.
    #[error(transparent)]
    Settings(UnusableSettings),
    /// The engine does not let us do what we must.
    #[error("{hint}")]
    Refused {
        /// What to change.
        hint: String,
        /// What the engine said.
        source: S3Error,
    },
    /// What was read is not what was written.
    #[error("the engine gives back other bytes than it was given")]
    Forgetful,
}

impl S3 {
    /// Writes, reads and deletes; tells whether the engine refuses bytes that are not those of their checksum, and tells
    /// the checksum of what it took.
    pub(super) async fn probe(&self) -> Result<bool, UnusableBucket> {
        let name: String = random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        let object = self.within(&format!("probe/{name}"));
        let refused = |act: &'static str| {
            move |source: S3Error| UnusableBucket::Refused { hint: self.hint(act, &source), source }
        };
        let bytes = Bytes::from_static(CONTENT);
        self.put_whole(&object, bytes, sha256(CONTENT)).await.map_err(refused("write"))?;
        let refuses_wrong = self.refuses_wrong_sums(&object).await;
        // Some engines keep what they refuse.
        self.put_whole(&object, Bytes::from_static(CONTENT), sha256(CONTENT))
            .await
            .map_err(refused("write"))?;
        let tells = matches!(self.sum_of(&object).await, Ok(Some((_, Some(sum)))) if STANDARD.encode(sum) == sha256(CONTENT));
        let get = Ask::new(Operation::Get, Method::GET, &object);
        let answer = self.0.client.ask(&get).await.map_err(refused("read"))?;
        let read = answer.body.read(CONTENT.len() + 1).await;
        if read.map_err(|error| refused("read")(S3Error::Broken(error)))? != CONTENT {
            return Err(UnusableBucket::Forgetful);
        }
        let delete = Ask::new(Operation::Delete, Method::DELETE, &object);
        self.0.client.ask(&delete).await.map_err(refused("delete"))?;
        match self.size_of(&object).await.map_err(refused("list"))? {
            None => Ok(self.vouches(refuses_wrong, tells)),
            Some(_) => Err(UnusableBucket::Forgetful),
        }
    }

    /// Says why clients get no URL to write to although they should.
    fn vouches(&self, refuses_wrong: bool, tells: bool) -> bool {
        if self.settings().presign == Presign::GetAndPut && !(refuses_wrong && tells) {
            let why = if refuses_wrong { "tells no checksums" } else { "takes bytes of another checksum" };
            tracing::warn!(
                "the bucket's engine {why}: clients get no URL to write to, and what they send goes through us"
            );
        }
        refuses_wrong && tells
    }

    async fn refuses_wrong_sums(&self, object: &str) -> bool {
        let ask = Ask::new(Operation::Put, Method::PUT, object)
            .header(CHECKSUM, sha256(b"other bytes"))
            .body(Bytes::from_static(CONTENT));
        match self.0.client.ask_once(&ask).await {
            Ok(_) => false,
            Err(error) => error.status() == Some(400),
        }
    }

    /// Says in one sentence what an operator can do.
    fn hint(&self, act: &str, error: &S3Error) -> String {
        let settings = self.settings();
        let (bucket, endpoint) = (&settings.bucket, settings.endpoint_url());
        let region = match error {
            S3Error::Refused { region: Some(region), .. } if *region != settings.region => Some(region),
            _ => None,
        };
        if let Some(region) = region {
            return format!(
                "bucket {bucket:?} is in region {region:?}, not in {:?}: storage.s3.region",
                settings.region
            );
        }
        if error.is_skew() {
            return format!(
                "the clock of this machine differs from that of {endpoint} by more than 15 minutes"
            );
        }
        match (error.code(), error.status()) {
            ("NoSuchBucket", _) => {
                format!(
                    "there is no bucket {bucket:?} at {endpoint}: make it, or name another in storage.s3.bucket"
                )
            }
            ("InvalidAccessKeyId" | "InvalidToken" | "NotSignedUp", _) => {
                format!("{endpoint} does not know the access key: storage.s3.access_key")
            }
            ("SignatureDoesNotMatch", _) => {
                "the secret key is not that of the access key: storage.s3.secret_key".to_owned()
            }
            (
                "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException",
                _,
            ) => {
                format!("bucket {bucket:?} is not in region {:?}: storage.s3.region", settings.region)
            }
            ("AccessDenied", _) | (_, Some(401 | 403)) if act == "list" => format!(
                "the access key may not list bucket {bucket:?}, so what is absent looks forbidden: allow s3:ListBucket"
            ),
            ("AccessDenied", _) | (_, Some(401 | 403)) => format!(
                "the access key may not {act} in bucket {bucket:?}: allow s3:PutObject, s3:GetObject, \
                s3:DeleteObject, s3:AbortMultipartUpload, s3:ListMultipartUploadParts, s3:ListBucket and \
                s3:ListBucketMultipartUploads"
            ),
            (_, Some(301 | 302 | 307 | 308)) => {
                format!(
                    "{endpoint} sends us elsewhere: name the bucket's own endpoint and region in storage.s3"
                )
            }
            _ => match error {
                S3Error::Connect { .. } | S3Error::TimedOut(_) | S3Error::Broken(_) => {
                    format!("{endpoint} cannot be reached: storage.s3.endpoint")
                }
                S3Error::Credentials(_) => "there are no credentials for the bucket".to_owned(),
                _ => format!("bucket {bucket:?} at {endpoint} does not let us {act}"),
            },
        }
    }
}
