//! Numbers as text, without allocating.

/// All numbers of two digits, one behind the other.
const PAIRS: &[u8; 200] = b"00010203040506070809\
    10111213141516171819\
    20212223242526272829\
    30313233343536373839\
    40414243444546474849\
    50515253545556575859\
    60616263646566676869\
    70717273747576777879\
    80818283848586878889\
    90919293949596979899";

/// Most digits of a 64-bit number.
pub(super) const MAX_DIGITS: usize = 20;

/// A number's digits.
pub(super) struct Decimal {
    digits: [u8; MAX_DIGITS],
    from: usize,
}

impl Decimal {
    /// Writes `number` in decimal.
    pub(super) fn new(mut number: u64) -> Self {
        let mut digits = [0; MAX_DIGITS];
        let mut from = MAX_DIGITS;
        while number >= 10 {
            from -= 2;
            digits[from..from + 2].copy_from_slice(pair(number % 100));
            number /= 100;
        }
        if number > 0 || from == MAX_DIGITS {
            from -= 1;
            digits[from] = pair(number)[1];
        }
        Self { digits, from }
    }

    /// The digits, most significant first, without leading zeros.
    pub(super) fn digits(&self) -> &[u8] {
        &self.digits[self.from..]
    }

    /// How many digits there are, in digits.
    pub(super) fn len_digits(&self) -> &'static [u8] {
        let len = MAX_DIGITS - self.from;
        let two = &PAIRS[2 * len..2 * len + 2];
        if len < 10 { &two[1..] } else { two }
    }
}

/// The two digits of a number below 100.
fn pair(number: u64) -> &'static [u8] {
    let at = usize::try_from(number).unwrap_or(0) * 2;
    &PAIRS[at..at + 2]
}

/// Reads a number of digits alone, as clients send lengths and deltas.
pub(super) fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Decimal, parse};

    fn same(number: u64) {
        let text = number.to_string();
        let decimal = Decimal::new(number);
        assert_eq!(decimal.digits(), text.as_bytes());
        assert_eq!(decimal.len_digits(), text.len().to_string().as_bytes());
        assert_eq!(parse(text.as_bytes()), Some(number));
    }

    #[test]
    fn every_length_is_written_as_the_standard_library_does() {
        let mut power = 1u64;
        loop {
            same(power - 1);
            same(power);
            same(power + 1);
            let Some(next) = power.checked_mul(10) else { break };
            power = next;
        }
        same(u64::MAX);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for wrong in ["", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1a"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(parse(b"0007"), Some(7));
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_the_standard_library_does(number in any::<u64>(), shift in 0u32..64) {
            let number = number >> shift;
            prop_assert_eq!(Decimal::new(number).digits().to_vec(), number.to_string().into_bytes());
        }
    }
}
