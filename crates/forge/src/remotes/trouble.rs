//! What stands in the way of a mirror or an import, and whether trying again may help.

use hakata_egress::PinError;
use hakata_git::foreign::ForeignError;
use hakata_git::quarantine::IndexPackError;
use hakata_git::remote::FetchError;
use hakata_repository::{CommitError, ImportError, OpenError};
use hakata_store::StoreError;

use crate::{Error, Kind};

/// Longest text that is kept of a trouble, in bytes.
const MAX: usize = 2_000;

/// Why an attempt did not work. The texts are for whoever looks after the mirror or import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may work another time.
    Later(String),
    /// It will not as long as nobody changes anything.
    Never(String),
}

impl Trouble {
    /// Tells what happened.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Later(text) | Self::Never(text) => text,
        }
    }
}

impl From<PinError> for Trouble {
    fn from(error: PinError) -> Self {
        let text = told(&error);
        if error.is_temporary() { Self::Later(text) } else { Self::Never(text) }
    }
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Fetch(error) => {
                let is_for_later = match &error {
                    FetchError::Refused(_) | FetchError::Child(_) | FetchError::Storage(_) => true,
                    // Tries with a wrong password may lock the account.
                    FetchError::Login
                    | FetchError::Format
                    | FetchError::TooLarge { .. }
                    | FetchError::TooManyRefs { .. } => false,
                    FetchError::Index(error) => {
                        !matches!(error, IndexPackError::TooLarge { .. } | IndexPackError::Refused { .. })
                    }
                };
                let text = told(&error);
                if is_for_later { Self::Later(text) } else { Self::Never(text) }
            }
            ImportError::Foreign(ForeignError::Io { .. } | ForeignError::Busy(_)) => {
                Self::Later(told(&error))
            }
            ImportError::Foreign(_) | ImportError::Format { .. } => Self::Never(told(&error)),
            ImportError::Commit(CommitError::Full { .. }) => Error::from(error).into(),
            _ => Self::Later(told(&error)),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let text = match error.chain() {
            chain if chain.is_empty() || error.kind() == Kind::TooLarge => error.public().to_owned(),
            chain => format!("{error}: {chain}"),
        };
        match error.kind() {
            Kind::Forbidden | Kind::Invalid | Kind::TooLarge | Kind::NotFound => Self::Never(cut(text)),
            _ => Self::Later(cut(text)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Error::from(error).into()
    }
}

/// Says what went wrong with all that is behind it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    let mut end = text.len().min(MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use hakata_egress::{Forbidden, PinError};
    use hakata_git::remote::FetchError;
    use hakata_repository::ImportError;

    use super::Trouble;

    #[test]
    fn what_time_mends_is_tried_again() {
        let away = ImportError::Fetch(FetchError::Refused("Failed to connect".to_owned()));
        assert!(matches!(Trouble::from(away), Trouble::Later(text) if text.ends_with("Failed to connect")));
        let login = ImportError::Fetch(FetchError::Login);
        assert!(matches!(Trouble::from(login), Trouble::Never(_)));
        let inside = PinError::Forbidden { host: "intra".to_owned(), why: Forbidden::Private };
        assert!(matches!(Trouble::from(inside), Trouble::Never(text) if text.contains("private")));
        assert!(matches!(Trouble::from(PinError::Slow { host: "x".to_owned() }), Trouble::Later(_)));
    }
}
