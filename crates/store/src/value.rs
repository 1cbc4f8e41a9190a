//! Values on their way into a question.

/// A parameter. The absent ones keep their type, which PostgreSQL wants to know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(Some(value))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a hakata_names::Oid> for Value<'a> {
    fn from(value: &'a hakata_names::Oid) -> Self {
        Self::Bytes(Some(value.as_bytes()))
    }
}

impl<'a> From<Option<&'a hakata_names::Oid>> for Value<'a> {
    fn from(value: Option<&'a hakata_names::Oid>) -> Self {
        Self::Bytes(value.map(hakata_names::Oid::as_bytes))
    }
}

impl<'a> From<&'a hakata_names::LfsOid> for Value<'a> {
    fn from(value: &'a hakata_names::LfsOid) -> Self {
        Self::Bytes(Some(value.as_bytes()))
    }
}

impl<'a> From<&'a hakata_names::TreePath> for Value<'a> {
    fn from(value: &'a hakata_names::TreePath) -> Self {
        Self::Bytes(Some(value.as_bytes()))
    }
}

impl<'a> From<&'a hakata_names::RefName> for Value<'a> {
    fn from(value: &'a hakata_names::RefName) -> Self {
        Self::Bytes(Some(value.as_bytes()))
    }
}

macro_rules! ids {
    ($($id:ident),+) => {$(
        impl From<hakata_names::$id> for Value<'_> {
            fn from(value: hakata_names::$id) -> Self {
                Self::Int(Some(value.get()))
            }
        }

        impl From<Option<hakata_names::$id>> for Value<'_> {
            fn from(value: Option<hakata_names::$id>) -> Self {
                Self::Int(value.map(hakata_names::$id::get))
            }
        }
    )+};
}

ids!(
    OwnerId,
    UserId,
    GroupId,
    RepositoryId,
    PackId,
    KeyId,
    TokenId,
    ProtectionId,
    EventId,
    JobId,
    AuditId,
    WebhookId,
    DeliveryId,
    NoticeId,
    MirrorId,
    ImportId,
    LfsObjectId,
    LfsLockId
);

/// Makes the array of parameters of a question.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Value::from($value)),*] };
}
pub(crate) use values;
