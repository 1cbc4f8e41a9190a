//! Values on their way out of an answer.

use hakata_names::{LfsOid, Oid, RefName, TreePath};
use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use crate::{StoreError, error::classify};

/// One row of an answer; columns are read by their place, from 0.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
    MySql(MySqlRow),
}

/// Reads a column whatever type it was declared with: texts with binary collations look like bytes on MySQL.
macro_rules! read {
    ($row:expr, $type:ty, $at:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get_unchecked::<$type, _>($at),
            Row::Postgres(row) => row.try_get_unchecked::<$type, _>($at),
            Row::MySql(row) => row.try_get_unchecked::<$type, _>($at),
        }
        .map_err(classify)
    };
}

impl Row {
    pub(crate) fn opt_int(&self, at: usize) -> Result<Option<i64>, StoreError> {
        let Self::Postgres(row) = self else { return read!(self, Option<i64>, at) };
        // PostgreSQL sends each width of integer in its own size.
        let value = row.try_get_raw(at).map_err(classify)?;
        let value = match value.type_info().name() {
            _ if value.is_null() => Ok(None),
            "INT2" => row.try_get_unchecked::<i16, _>(at).map(|value| Some(i64::from(value))),
            "INT4" => row.try_get_unchecked::<i32, _>(at).map(|value| Some(i64::from(value))),
            _ => row.try_get_unchecked::<i64, _>(at).map(Some),
        };
        value.map_err(classify)
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64, StoreError> {
        self.opt_int(at)?.ok_or(StoreError::Unexpected { column: at })
    }

    pub(crate) fn flag(&self, at: usize) -> Result<bool, StoreError> {
        Ok(self.int(at)? != 0)
    }

    pub(crate) fn id<T: From<i64>>(&self, at: usize) -> Result<T, StoreError> {
        self.int(at).map(T::from)
    }

    pub(crate) fn opt_id<T: From<i64>>(&self, at: usize) -> Result<Option<T>, StoreError> {
        Ok(self.opt_int(at)?.map(T::from))
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, StoreError> {
        read!(self, String, at)
    }

    pub(crate) fn opt_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        read!(self, Option<String>, at)
    }

    /// Reads a text that must be one of a closed set or have a form.
    pub(crate) fn parsed<T>(&self, at: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text = read!(self, &str, at)?;
        parse(text).ok_or(StoreError::Unexpected { column: at })
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<&[u8], StoreError> {
        read!(self, &[u8], at)
    }

    pub(crate) fn opt_bytes(&self, at: usize) -> Result<Option<&[u8]>, StoreError> {
        read!(self, Option<&[u8]>, at)
    }

    pub(crate) fn ref_name(&self, at: usize) -> Result<RefName, StoreError> {
        RefName::parse(self.bytes(at)?).map_err(|_| StoreError::Unexpected { column: at })
    }

    pub(crate) fn lfs_oid(&self, at: usize) -> Result<LfsOid, StoreError> {
        LfsOid::from_bytes(self.bytes(at)?).ok_or(StoreError::Unexpected { column: at })
    }

    pub(crate) fn tree_path(&self, at: usize) -> Result<TreePath, StoreError> {
        TreePath::parse(self.bytes(at)?).map_err(|_| StoreError::Unexpected { column: at })
    }

    pub(crate) fn oid(&self, at: usize) -> Result<Oid, StoreError> {
        self.opt_oid(at)?.ok_or(StoreError::Unexpected { column: at })
    }

    pub(crate) fn opt_oid(&self, at: usize) -> Result<Option<Oid>, StoreError> {
        let oid = self.opt_bytes(at)?.map(Oid::from_bytes).transpose();
        oid.map_err(|_| StoreError::Unexpected { column: at })
    }
}
