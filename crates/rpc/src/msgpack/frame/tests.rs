use super::{FrameError, MAX_DEPTH, Scanner};
use proptest::prelude::*;

/// Any value, encoded.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(vec![0xc0]),
        any::<u64>().prop_map(|n| written(|out| rmp::encode::write_uint(out, n).map(|_| ()))),
        any::<i64>().prop_map(|n| written(|out| rmp::encode::write_sint(out, n).map(|_| ()))),
        any::<f64>().prop_map(|n| written(|out| rmp::encode::write_f64(out, n))),
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|bytes| written(|out| rmp::encode::write_bin(out, &bytes))),
        "\\PC{0,80}".prop_map(|text| written(|out| rmp::encode::write_str(out, &text))),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let n = u32::try_from(bytes.len()).unwrap_or_default();
            [written(|out| rmp::encode::write_ext_meta(out, n, 7).map(|_| ())), bytes].concat()
        }),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(|values| {
                let n = u32::try_from(values.len()).unwrap_or_default();
                [written(|out| rmp::encode::write_array_len(out, n).map(|_| ())), values.concat()].concat()
            }),
            prop::collection::vec((inner.clone(), inner), 0..20).prop_map(|pairs| {
                let n = u32::try_from(pairs.len()).unwrap_or_default();
                let pairs: Vec<u8> =
                    pairs.into_iter().flat_map(|(key, value)| [key, value].concat()).collect();
                [written(|out| rmp::encode::write_map_len(out, n).map(|_| ())), pairs].concat()
            }),
        ]
    })
}

fn written<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn the_end_is_found_however_the_bytes_come(value in value(), after in prop::collection::vec(any::<u8>(), 0..9), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(value.len())).collect();
        cuts.sort_unstable();
        let mut scanner = Scanner::new(1 << 20);
        for cut in cuts {
            prop_assert_eq!(scanner.scan(&value[..cut]), Ok(None));
        }
        prop_assert_eq!(scanner.scan(&[value.clone(), after].concat()), Ok(Some(value.len())));
        prop_assert_eq!(scanner.scan(&value), Ok(Some(value.len())), "the next message starts afresh");
    }

    #[test]
    fn junk_ends_in_a_length_an_error_or_a_wish_for_more(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(length)) = Scanner::new(1 << 20).scan(&bytes) {
            prop_assert!(length <= bytes.len() && length > 0);
        }
    }
}

#[test]
fn claims_cost_nothing() {
    for header in [[0xdd, 0xff, 0xff, 0xff, 0xff], [0xdf, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(Scanner::new(1 << 20).scan(&header), Ok(None));
    }
    for header in
        [[0xc6, 0xff, 0xff, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff, 0xff], [0xc9, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(Scanner::new(1 << 20).scan(&header), Err(FrameError::TooLong));
    }
}

#[test]
fn depth_is_bounded() {
    assert_eq!(Scanner::new(1 << 20).scan(&vec![0x91; 100_000]), Err(FrameError::TooDeep));
    let deepest = [vec![0x91; MAX_DEPTH], vec![0xc0]].concat();
    assert_eq!(Scanner::new(1 << 20).scan(&deepest), Ok(Some(MAX_DEPTH + 1)));
}

#[test]
fn length_is_bounded() {
    let mut scanner = Scanner::new(10);
    assert_eq!(scanner.scan(&[0x9f, 1, 2, 3, 4, 5, 6, 7, 8, 9]), Ok(None));
    assert_eq!(scanner.scan(&[0x9f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), Err(FrameError::TooLong));
    assert_eq!(Scanner::new(10).scan(&[0xc1]), Err(FrameError::Malformed));
}
