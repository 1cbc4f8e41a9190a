//! The way out: every connection that a stranger's URL makes us open goes through here.
//!
//! Whoever may name a URL (a webhook, a mirror, an import) may try to reach what only this machine can reach. So a URL
//! is parsed once, its name is resolved once, every address is judged, and the connection goes to an address that was
//! judged: nobody resolves the name again in between. Redirects are answers like others and never followed; proxies of
//! the environment are not looked at.
//!
//! ```text
//! text ──Target::parse──▶ Target ──Guard::pin──▶ Pinned ──Guard::send──▶ Sent { timings, outcome }
//!        scheme, port      resolve, judge         └──▶ addresses for a child process that connects by itself
//! ```
//!
//! ```
//! use hakata_egress::{Allow, Guard, Settings, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guard = Guard::new(Settings { allow: Allow::parse(["10.0.0.0/8"])?, ..Settings::default() })?;
//! let refused = guard.pin(&Target::parse("http://0x7f.1/")?).await;
//! assert!(refused.is_err(), "loopback, however it is spelled");
//! assert!(guard.pin(&Target::parse("http://10.1.2.3:8080/")?).await.is_ok());
//! # Ok(())
//! # }
//! ```

mod address;
mod allow;
mod target;

mod resolve;

mod guard;
mod settings;

mod connect;
mod send;
mod tls;

pub use address::{Forbidden, forbidden};
pub use allow::{Allow, ParseAllowError};
pub use connect::{ConnectError, Phase};
pub use guard::{Guard, PinError, Pinned};
pub use resolve::Resolver;
pub use send::{Answer, Cut, Request, SendError, Sent, Timings};
pub use settings::{Deadlines, ParsePortsError, Ports, Settings};
pub use target::{ParseTargetError, Target};
pub use tls::LoadRootsError;
