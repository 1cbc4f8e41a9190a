//! What a server counts for `stats`.
