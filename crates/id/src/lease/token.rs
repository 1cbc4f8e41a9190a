//! What proves that a lease is ours.

use std::fmt::Write as _;

use hakata_runtime::clock::Clock;
use hakata_runtime::secret::random_bytes;

/// The proof of a holder, another one after each renewal.
///
/// A renewal shows `current` and leaves `next` in its place. If its answer is lost it is sent again with both, and finds
/// either one. Of two copies of a holder (a virtual machine that was cloned while it ran) the first to renew goes on and
/// the other one finds a token that it does not know: both could issue the same ids for one renewal, not for longer.
#[derive(Debug)]
pub struct Token {
    current: String,
    next: String,
}

impl Token {
    /// Draws the token of a new lease.
    pub fn fresh() -> Self {
        Self { current: draw(), next: draw() }
    }

    /// What the place knows, unless the answer to a renewal was lost.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// What the place knows after the next renewal.
    pub fn next(&self) -> &str {
        &self.next
    }

    /// Notes that a renewal was answered.
    pub fn confirm(&mut self) {
        self.current = std::mem::replace(&mut self.next, draw());
    }
}

/// Draws 128 random bits, and adds the time: a copied machine may draw the same bits, hardly at the same time.
fn draw() -> String {
    let mut text = String::from("hakata-");
    for byte in random_bytes::<16>() {
        let _ = write!(text, "{byte:02x}");
    }
    let _ = write!(text, "-{:x}", Clock::System.now_ms());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_renewal_leaves_another_token() {
        let mut token = Token::fresh();
        let (first, second) = (token.current().to_owned(), token.next().to_owned());
        assert_ne!(first, second);
        token.confirm();
        assert_eq!(token.current(), second, "what was next is known now");
        assert!(token.next() != first && token.next() != second);
        assert!(token.current().len() <= 100, "the column of the database holds it: {}", token.current());
    }
}
