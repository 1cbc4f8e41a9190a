//! Labels: a key known at compile time and a closed set of values.

/// One label: usually an enum whose variants are its values.
pub trait Label: Copy + Ord + Send + Sync + 'static {
    /// The label's key.
    const KEY: &'static str;

    /// The label's value; a literal in the code, never data from outside.
    fn value(self) -> &'static str;
}

/// One label, or a tuple of up to three.
pub trait LabelSet: Copy + Ord + Send + Sync + 'static {
    /// The keys, in order.
    const KEYS: &'static [&'static str];

    /// The pairs of key and value, in order.
    fn pairs(self) -> Vec<(&'static str, &'static str)>;
}

impl<L: Label> LabelSet for L {
    const KEYS: &'static [&'static str] = &[L::KEY];

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(L::KEY, self.value())]
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const KEYS: &'static [&'static str] = &[A::KEY, B::KEY];

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(A::KEY, self.0.value()), (B::KEY, self.1.value())]
    }
}

impl<A: Label, B: Label, C: Label> LabelSet for (A, B, C) {
    const KEYS: &'static [&'static str] = &[A::KEY, B::KEY, C::KEY];

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(A::KEY, self.0.value()), (B::KEY, self.1.value()), (C::KEY, self.2.value())]
    }
}
