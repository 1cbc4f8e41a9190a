//! Scenarios: text files that say what people do and what they see.
//!
//! ```text
//! # A comment says what the scenario shows.
//! matrix transport version format      vary: HTTP and SSH, protocol 0 to 2, SHA-1 and SHA-256
//! databases                            run on PostgreSQL and MariaDB too
//! server limits.push_refs=10           start a server, with configuration
//! user alice --admin                   an account with a key and a token
//! repo alice/tools --public            a repository
//! hakata repo protect alice/tools main any other command of the product
//! git alice clone $URL/alice/tools t   the real git as alice; `-` is somebody without an account
//! ssh alice whoami                     the real ssh
//! curl alice -s $HTTP/alice/tools      the real curl, with alice's credentials
//! sh alice 'test -e t/one'             a shell, for what has no verb
//! commit t one                         a commit in clone t; its oid is remembered as `one`
//! amend t uno                          the same, in place of the last commit
//! tip alice/tools main == one          where a branch, tag or full ref points on the server; or `absent`
//! oid t HEAD == one                    where a revision points in a clone
//! intact t                             fsck of a clone, or of a repository on the server
//! stdout 'text'                        what the last command said; `! stdout 'text'` that it did not
//! ! git alice push                     a command that must fail
//! status 1                             how it ended
//! stop, kill, restart                  SIGTERM (must end with 0), SIGKILL, start again where it was
//! ```
//!
//! Variables: `$HTTP` and `$SSH` are base URLs, `$URL` the one of the transport that is varied, `$ADMIN` the one of
//! metrics and health, `$DATA` the data directory, `$HAKATA` the program, for a shell that gives it standard
//! input, `$label` an oid remembered by `commit`.

mod cases;
mod parse;
mod stage;

pub use cases::{Case, Transport, cases};
pub use parse::{Scenario, Step, parse};
pub use stage::play;
