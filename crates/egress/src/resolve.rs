//! Names to addresses, once a request.

#[cfg(feature = "testing")]
use std::fmt;
use std::io;
use std::net::IpAddr;
#[cfg(feature = "testing")]
use std::sync::Arc;

/// Most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Who resolves names.
#[derive(Clone, Debug, Default)]
pub enum Resolver {
    /// The machine: hosts file, DNS, whatever it is set up to ask.
    #[default]
    System,
    /// A function of a test.
    #[cfg(feature = "testing")]
    Scripted(Scripted),
}

/// Answers for a name.
#[cfg(feature = "testing")]
type Answer = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// A function that answers for a name.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub struct Scripted(Arc<Answer>);

#[cfg(feature = "testing")]
impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Resolver {
    /// Makes a resolver of a function.
    #[cfg(feature = "testing")]
    pub fn scripted(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self::Scripted(Scripted(Arc::new(answer)))
    }

    /// Resolves a name to its first addresses, in the order in which they shall be tried.
    pub(crate) async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System => {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|found| found.ip()).take(MAX_ADDRESSES).collect())
            }
            #[cfg(feature = "testing")]
            Self::Scripted(Scripted(answer)) => Ok(answer(name)),
        }
    }
}
