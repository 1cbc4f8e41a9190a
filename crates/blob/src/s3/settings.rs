//! Where the bucket is, who we are there, and how much a conversation with it may take.

use std::path::PathBuf;
use std::time::Duration;

use hakata_runtime::secret::Secret;
use hakata_runtime::units::ByteSize;

/// The least size of a part that is not the last one. Source: Amazon S3 multipart upload limits.
pub const MIN_PART: ByteSize = ByteSize::mib(5);

/// The most parts of one upload. Source: the same.
pub const MAX_PARTS: u16 = 10_000;

/// The largest body of one request, in bytes. Source: the same.
pub(crate) const MAX_PUT_BYTES: u64 = 5 << 30;

/// How the bucket is named in URLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrlStyle {
    /// As a host at Amazon's own endpoint, as a path at any other.
    #[default]
    Auto,
    /// `https://endpoint/bucket/key`
    Path,
    /// `https://bucket.endpoint/key`
    VirtualHost,
}

/// What is handed out as a signed URL, for clients that then talk to the engine themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presign {
    /// Nothing: all bytes go through this process.
    #[default]
    Off,
    /// Reading.
    Get,
    /// Reading, and writing where the engine was seen to refuse a wrong checksum.
    GetAndPut,
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// Written down.
    Keys {
        /// The access key's id.
        access_key: String,
        /// The secret that belongs to it.
        secret_key: Secret<String>,
        /// The token of temporary keys.
        session_token: Option<Secret<String>>,
    },
    /// Asked of a local HTTP service, as in ECS and EKS pod identity.
    Container {
        /// Its URL.
        url: String,
        /// The `Authorization` header it wants.
        authorization: Option<Secret<String>>,
        /// A file with that header's value, read at each use.
        authorization_file: Option<PathBuf>,
    },
    /// Exchanged for a token in a file, as for Kubernetes service accounts with a role.
    WebIdentity {
        /// The file of the token.
        token_file: PathBuf,
        /// The role to take.
        role_arn: String,
        /// The URL of the token service; `None` is that of the region.
        endpoint: Option<String>,
    },
    /// Asked of the machine's metadata service (IMDSv2).
    Instance {
        /// Its URL; `None` is `http://169.254.169.254`.
        endpoint: Option<String>,
    },
}

/// Everything about a bucket.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket; empty if there is none.
    pub bucket: String,
    /// What every key begins with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The engine's URL; empty is Amazon's of the region.
    pub endpoint: String,
    /// The URL in presigned URLs, where clients reach the engine by another; empty is the endpoint.
    pub public_endpoint: String,
    /// The region that signatures name.
    pub region: String,
    /// How the bucket is named in URLs.
    pub style: UrlStyle,
    /// Who we are.
    pub credentials: CredentialSource,
    /// Authorities to believe beside the machine's, in PEM.
    pub certificates: Option<PathBuf>,
    /// The size of a part, at least [`MIN_PART`]. What is not larger goes in one request.
    pub part: ByteSize,
    /// Parts of one blob in memory: parts × size is what a write may take.
    pub parts: usize,
    /// Memory for parts of all writes together.
    pub upload_memory: ByteSize,
    /// Requests at one time, those whose answer is still being read included.
    pub connections: usize,
    /// Reads of LFS objects at one time, beside these: clients that take their bytes slowly hold a connection for long.
    pub downloads: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the engine may be silent; a request with a body may also take the time to send it.
    pub timeout: Duration,
    /// How long a request is tried again after its first failure.
    pub retry_for: Duration,
    /// How long putting the parts together may take, all tries included; the engine may not be silent for `timeout`.
    pub complete_timeout: Duration,
    /// What is handed out as a signed URL.
    pub presign: Presign,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: String::new(),
            public_endpoint: String::new(),
            region: "us-east-1".to_owned(),
            style: UrlStyle::Auto,
            credentials: CredentialSource::Instance { endpoint: None },
            certificates: None,
            part: ByteSize::mib(8),
            parts: 4,
            upload_memory: ByteSize::mib(256),
            connections: 64,
            downloads: 256,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(60),
            complete_timeout: Duration::from_secs(5 * 60),
            presign: Presign::Off,
        }
    }
}

impl S3Settings {
    /// Returns the URL of the engine.
    pub(crate) fn endpoint_url(&self) -> String {
        match self.endpoint.as_str() {
            "" => format!("https://s3.{}.amazonaws.com", self.region),
            endpoint => endpoint.to_owned(),
        }
    }

    /// Returns the URL that presigned URLs begin with.
    pub(crate) fn public_url(&self) -> String {
        match self.public_endpoint.as_str() {
            "" => self.endpoint_url(),
            endpoint => endpoint.to_owned(),
        }
    }

    /// Returns the style in force.
    pub(crate) fn is_path_style(&self) -> bool {
        match self.style {
            UrlStyle::Auto => !self.endpoint.is_empty(),
            UrlStyle::Path => true,
            UrlStyle::VirtualHost => false,
        }
    }

    /// Returns the bytes of a part as a length in memory.
    pub(crate) fn part_bytes(&self) -> usize {
        usize::try_from(self.part.bytes()).unwrap_or(usize::MAX)
    }
}
