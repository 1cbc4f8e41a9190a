//! What an operator may set about policy.

use std::path::PathBuf;
use std::time::Duration;

use hakata_names::ObjectFormat;
use hakata_runtime::units::ByteSize;

use crate::lfs::LfsSettings;
use crate::mail::MailSettings;
use crate::mirrors::MirrorSettings;
use crate::webhooks::WebhookSettings;

/// Limits and defaults of the forge; every field has a key in the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest pack of one push.
    pub max_pack: ByteSize,
    /// Largest object of a push; larger files belong in LFS.
    pub max_object: ByteSize,
    /// Most bytes of packs in one repository, unless its row says otherwise.
    pub repository_quota: ByteSize,
    /// Most refs that one push may change.
    pub max_refs_per_push: usize,
    /// Most refs of one repository.
    pub max_refs_per_repository: usize,
    /// Wrong passwords a minute per account and per address.
    pub password_tries_per_minute: u32,
    /// Passwords verified at once; each takes 19 MiB and a core.
    pub passwords_at_once: usize,
    /// How long a verified password is believed without verifying it again.
    pub login_cache_for: Duration,
    /// Pushes received at once, in all.
    pub pushes_at_once: usize,
    /// Pushes received at once in one repository.
    pub pushes_per_repository: usize,
    /// Fetches, pushes and archives at once of one user, or of one address without an account.
    pub transfers_per_client: usize,
    /// The longest that one push may take, from its first byte to its report.
    pub push_time: Duration,
    /// The branch that HEAD of a new repository names.
    pub default_branch: String,
    /// The hash of a repository that a push or a command makes.
    pub default_object_format: ObjectFormat,
    /// Whether a push to an absent repository creates it.
    pub push_to_create: bool,
    /// How long deleted repositories can be restored; for people to read, erasing is the sweep's affair.
    pub restore_for: Duration,
    /// The directory whose bare repositories may be imported; `None`: any that this process can read.
    pub import_root: Option<PathBuf>,
    /// Git LFS.
    pub lfs: LfsSettings,
    /// Webhooks.
    pub webhooks: WebhookSettings,
    /// Mirrors, and imports that run as jobs.
    pub mirrors: MirrorSettings,
    /// Mail.
    pub mail: MailSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_pack: ByteSize::mib(2_048),
            max_object: ByteSize::mib(100),
            repository_quota: ByteSize::mib(10_240),
            max_refs_per_push: 10_000,
            max_refs_per_repository: 1_000_000,
            password_tries_per_minute: 10,
            passwords_at_once: 2,
            login_cache_for: Duration::from_secs(60),
            pushes_at_once: 64,
            pushes_per_repository: 16,
            transfers_per_client: 8,
            push_time: Duration::from_secs(60 * 60),
            default_branch: "main".to_owned(),
            default_object_format: ObjectFormat::Sha1,
            push_to_create: true,
            restore_for: Duration::from_secs(30 * 24 * 3_600),
            import_root: None,
            lfs: LfsSettings::default(),
            webhooks: WebhookSettings::default(),
            mirrors: MirrorSettings::default(),
            mail: MailSettings::default(),
        }
    }
}
