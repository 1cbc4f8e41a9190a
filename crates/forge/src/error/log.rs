//! Errors on their way into the log, once, at the face that met them.

use super::{Error, Kind};

impl Error {
    /// Writes one line about the error of a request, as loudly as its kind asks for.
    pub fn log(&self, request_id: &str) {
        let (kind, chain) = (self.kind().as_str(), self.chain());
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(request.id = request_id, error.kind = kind, error.cause = chain, "{self}")
            };
        }
        match self.kind() {
            Kind::NotFound | Kind::Invalid => line!(debug),
            Kind::Unavailable => line!(warn),
            Kind::Internal => line!(error),
            _ => line!(info),
        }
    }
}
