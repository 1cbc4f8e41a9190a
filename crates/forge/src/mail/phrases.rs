//! The words of letters, each in all languages side by side.

use serde::{Deserialize, Serialize};

use super::{AccountChange, Matter, Reason, RepositoryChange};
use crate::admin::shown_bytes;

/// A language that letters are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 2] = [Self::En, Self::Ja];

    /// Returns the word that is stored and configured.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ja => "ja",
        }
    }

    /// Finds the language of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == word)
    }

    /// Chooses the one of two texts.
    pub(super) fn of<T>(self, en: T, ja: T) -> T {
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// What a push did, if it moved one ref.
    pub(super) fn pushed_one(self, who: &str, name: &str, how: How) -> String {
        match how {
            How::Created => {
                self.of(format!("{who} created {name}"), format!("{who} さんが {name} を作成しました"))
            }
            How::Deleted => {
                self.of(format!("{who} deleted {name}"), format!("{who} さんが {name} を削除しました"))
            }
            How::Forced => self.of(
                format!("{who} forced a push to {name}"),
                format!("{who} さんが {name} に強制プッシュしました"),
            ),
            How::Moved { n_commits: 1 } => self.of(
                format!("{who} pushed 1 commit to {name}"),
                format!("{who} さんが {name} に 1 件のコミットをプッシュしました"),
            ),
            How::Moved { n_commits } => self.of(
                format!("{who} pushed {n_commits} commits to {name}"),
                format!("{who} さんが {name} に {n_commits} 件のコミットをプッシュしました"),
            ),
        }
    }

    /// What a push did that moved several refs.
    pub(super) fn pushed_many(self, who: &str, n_refs: usize) -> String {
        self.of(
            format!("{who} pushed {n_refs} branches and tags"),
            format!("{who} さんが {n_refs} 件のブランチとタグをプッシュしました"),
        )
    }

    /// What is left out.
    pub(super) fn and_more(self, n: u64) -> String {
        self.of(format!("… and {n} more"), format!("… ほか {n} 件"))
    }

    /// What anything but a push is about, for subject and first line; `who` did it.
    pub(super) fn headline(self, matter: &Matter, who: &str) -> String {
        match matter {
            Matter::Push { .. } => self.of(format!("{who} pushed"), format!("{who} さんがプッシュしました")),
            Matter::Quota { of, percent, .. } => match of.as_str() {
                "owner" => self.of(
                    format!("The quota of the owner is used up to {percent} %"),
                    format!("オーナーの容量の {percent} % が使われています"),
                ),
                _ => self.of(
                    format!("The quota of the repository is used up to {percent} %"),
                    format!("リポジトリの容量の {percent} % が使われています"),
                ),
            },
            Matter::Webhook { host, .. } => self.of(
                format!("The webhook to {host} was paused"),
                format!("{host} への Webhook が停止されました"),
            ),
            Matter::Repository { change: RepositoryChange::Deleted { path } } => self.of(
                format!("{who} deleted the repository {path}"),
                format!("{who} さんがリポジトリ {path} を削除しました"),
            ),
            Matter::Repository { change: RepositoryChange::Moved { from, to } } => self.of(
                format!("{who} moved the repository {from} to {to}"),
                format!("{who} さんがリポジトリ {from} を {to} に移動しました"),
            ),
            Matter::Account { change } => self.account(change),
        }
    }

    fn account(self, change: &AccountChange) -> String {
        match change {
            AccountChange::Password { is_set: true } => {
                self.of("Your password was changed", "パスワードが変更されました").to_owned()
            }
            AccountChange::Password { is_set: false } => {
                self.of("Your password was removed", "パスワードが削除されました").to_owned()
            }
            AccountChange::Key { .. } => self
                .of("An SSH key was added to your account", "アカウントに SSH 鍵が追加されました")
                .to_owned(),
            AccountChange::Token { .. } => self
                .of("A token was made for your account", "アカウントのトークンが作成されました")
                .to_owned(),
            AccountChange::Address { .. } => self
                .of("Your mail goes to another address from now on", "メールの宛先が変更されました")
                .to_owned(),
            AccountChange::Admin { is_admin: true } => {
                self.of("You are an administrator from now on", "管理者権限が付与されました").to_owned()
            }
            AccountChange::Admin { is_admin: false } => {
                self.of("You are no administrator any more", "管理者権限が取り消されました").to_owned()
            }
        }
    }

    /// What there is to say beside the headline, a line each.
    pub(super) fn details(self, matter: &Matter) -> Vec<String> {
        match matter {
            Matter::Push { .. } => Vec::new(),
            Matter::Quota { used_bytes, limit_bytes, percent, .. } => {
                let shown = |bytes: i64| shown_bytes(u64::try_from(bytes).unwrap_or(0));
                let (used, limit) = (shown(*used_bytes), shown(*limit_bytes));
                let mut lines = vec![self.of(
                    format!("{used} of {limit} are used."),
                    format!("{limit} のうち {used} を使用しています。"),
                )];
                if *percent >= 100 {
                    lines.push(self.of(
                        "Pushes that need room are refused.".to_owned(),
                        "容量が必要なプッシュは拒否されます。".to_owned(),
                    ));
                }
                lines
            }
            Matter::Webhook { id, why, .. } => {
                let because = match why.as_str() {
                    "gone" => self.of(
                        "Its receiver answered that it is gone.",
                        "受信側が「存在しない」と応答しました。",
                    ),
                    _ => {
                        self.of("All its deliveries failed for days.", "すべての配信が何日も失敗しています。")
                    }
                };
                let resume = format!("hakata hook resume {id}");
                vec![
                    because.to_owned(),
                    self.of(
                        format!("Deliveries are kept for it meanwhile: {resume}"),
                        format!("その間の配信は保留されます。再開するには: {resume}"),
                    ),
                ]
            }
            Matter::Repository { .. } => Vec::new(),
            Matter::Account { change } => {
                let mut lines = match change {
                    AccountChange::Key { title, fingerprint } => vec![format!("{title} ({fingerprint})")],
                    AccountChange::Token { name, scopes } => vec![format!("{name} ({scopes})")],
                    _ => Vec::new(),
                };
                lines.push(self.of(
                    "If you do not know of this, tell your administrator at once.".to_owned(),
                    "心当たりがない場合は、すぐに管理者に連絡してください。".to_owned(),
                ));
                lines
            }
        }
    }

    /// Why the reader is told.
    pub(super) fn because(self, reason: Reason, path: Option<&str>) -> String {
        match (reason, path) {
            (Reason::Subscribed, Some(path)) => self.of(
                format!("You are receiving this because you watch {path}."),
                format!("{path} をウォッチしているため、このメールをお送りしています。"),
            ),
            (Reason::Owner, Some(path)) => self.of(
                format!("You are receiving this because you own {path}."),
                format!("{path} のオーナーであるため、このメールをお送りしています。"),
            ),
            (Reason::Security, _) => self.of(
                "You are receiving this because it is about the security of your account.".to_owned(),
                "アカウントのセキュリティに関わるため、このメールをお送りしています。".to_owned(),
            ),
            (Reason::Subscribed, None) => self.of(
                "You are receiving this because you watch repositories.".to_owned(),
                "リポジトリをウォッチしているため、このメールをお送りしています。".to_owned(),
            ),
            (Reason::Owner, None) => self.of(
                "You are receiving this because you answer for it here.".to_owned(),
                "この対象の管理者であるため、このメールをお送りしています。".to_owned(),
            ),
        }
    }

    /// What is said before the link by which mail is left.
    pub(super) fn leave(self) -> &'static str {
        self.of("No more such mail:", "このようなメールを停止する:")
    }

    /// The subject of a digest.
    pub(super) fn digest(self, n_notices: usize) -> String {
        match n_notices {
            1 => self.of("1 notice".to_owned(), "1 件のお知らせ".to_owned()),
            n => self.of(format!("{n} notices"), format!("{n} 件のお知らせ")),
        }
    }

    /// Why a digest comes.
    pub(super) fn because_of_digest(self) -> &'static str {
        self.of(
            "You are receiving this because you asked for one letter instead of many.",
            "お知らせをまとめて受け取る設定のため、このメールをお送りしています。",
        )
    }
}

/// What happened to a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Created,
    Deleted,
    Forced,
    Moved { n_commits: u64 },
}
