//! What is said to what, and what holds for any bytes.

use super::{Event, MAX_BLOCK_BYTES, MAX_COMMAND_BYTES, Next, Progress, Session, Settings, Source, VERSION};
use crate::issue::Refusal;

mod harness;

mod any_split;
mod binary;
mod bounds;
mod corpus;
mod refusals;
mod text;
