//! Time against clocks that are moved by hand.

use std::time::Duration;

use proptest::prelude::*;

use super::{ALARM_NS, Hands, NS_PER_MS, TimeBase};
use crate::layout::{Layout, Slot};

const START: i64 = 1_795_309_323_456;
const SECOND: Duration = Duration::from_secs(1);

fn ms(time: &TimeBase) -> i64 {
    Layout::Standard.unix_ms(time.now())
}

fn pinned(hands: &std::sync::Arc<Hands>) -> TimeBase {
    let time = TimeBase::scripted(Layout::Standard, hands.clone());
    time.pin();
    time
}

/// Lets seconds pass as the keeper sees them.
fn pass(time: &TimeBase, hands: &Hands, seconds: u32) {
    for _ in 0..seconds {
        hands.advance(SECOND);
        time.observe();
    }
}

#[test]
fn steps_of_the_machine_do_not_reach_the_ids() {
    for step_ms in [-600_000, -1, 1, 3_600_000, 10 * 365 * 86_400_000] {
        let hands = Hands::new(START);
        let time = pinned(&hands);
        hands.step_real(step_ms);
        time.observe();
        assert_eq!(ms(&time), START, "a step of {step_ms} ms moves nothing at once");
        assert_eq!(time.offset_ms(), step_ms, "but it is known");
        hands.advance(SECOND);
        let drift = ms(&time) - START - 1_000;
        assert!(drift.abs() <= 1, "{step_ms} ms are followed by half a millisecond a second, not {drift}");
    }
}

#[test]
fn an_offset_heals_by_half_a_millisecond_a_second_and_no_further() {
    for offset_ms in [250, -250] {
        let hands = Hands::new(START);
        let time = pinned(&hands);
        hands.step_real(offset_ms);
        time.observe();
        pass(&time, &hands, 100);
        assert_eq!(time.offset_ms(), offset_ms - offset_ms.signum() * 50, "100 s heal 50 ms");
        pass(&time, &hands, 500);
        assert_eq!(time.offset_ms(), 0, "{offset_ms} ms are healed after 500 s, and stay so");
        hands.advance(Duration::from_secs(86_400));
        assert_eq!(time.offset_ms(), 0, "without its keeper time goes on as fast as the boot clock");
    }
}

#[test]
fn a_great_offset_raises_one_alarm_until_it_is_healed() {
    for sign in [1, -1] {
        let hands = Hands::new(START);
        let time = pinned(&hands);
        hands.step_real(sign * ALARM_NS / NS_PER_MS);
        time.observe();
        assert!(!time.is_alarmed(), "10 s are bearable");
        hands.step_real(sign);
        let alarms = super::ALARMS.get();
        pass(&time, &hands, 3);
        assert!(time.is_alarmed(), "more is not");
        assert!(super::ALARMS.get() > alarms);
        pass(&time, &hands, 9_000);
        assert!(time.is_alarmed(), "the alarm does not flutter at its bound");
        pass(&time, &hands, 1_100);
        assert!(!time.is_alarmed(), "half of the bound ends it");
    }
}

#[test]
fn until_the_first_id_the_machine_is_believed_in_both_directions() {
    let hands = Hands::new(0);
    let time = TimeBase::scripted(Layout::Standard, hands.clone());
    assert_eq!(time.now(), Slot::ZERO, "1970 is before the epoch: nothing can be issued");
    hands.step_real(START + 9 * 3_600_000);
    assert_eq!(time.now(), Slot::ZERO, "a step alone changes nothing");
    time.observe();
    assert_eq!(ms(&time), START + 9 * 3_600_000, "the machine learned the time");
    hands.step_real(-9 * 3_600_000);
    time.observe();
    assert_eq!(ms(&time), START, "and that its clock showed local time");
    time.pin();
    hands.step_real(5_000);
    time.observe();
    assert_eq!(ms(&time), START, "with the first id the time is ours");
}

#[test]
fn time_ends_where_the_layout_ends() {
    for layout in [Layout::Standard, Layout::JsSafe] {
        let hands = Hands::new(layout.unix_ms(layout.end()) - 1);
        let time = TimeBase::scripted(layout, hands.clone());
        assert!(time.now() < layout.end());
        hands.advance(Duration::from_secs(3_000_000_000));
        assert_eq!(time.now(), layout.end(), "{layout:?}: never beyond, never around");
    }
}

#[test]
fn waits_are_told_to_the_nanosecond() {
    let hands = Hands::new(START);
    let time = pinned(&hands);
    let next = Layout::Standard.next_tick(time.now());
    hands.advance(Duration::from_nanos(300_000));
    assert_eq!(time.until(next), Duration::from_nanos(700_000));
    assert_eq!(time.until(time.now()), Duration::ZERO, "what has begun needs no wait");
}

#[test]
fn the_machine_tells_the_time_that_std_tells() {
    let time = TimeBase::system(Layout::Standard);
    let std = std::time::UNIX_EPOCH.elapsed().expect("a time after 1970").as_millis();
    let apart = i128::from(ms(&time)) - i128::try_from(std).expect("a time of this age");
    assert!(apart.abs() < 5_000, "{apart} ms lie between two readings of one clock");
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Advance(u64),
    Step(i64),
    Observe,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0_u64..5_000_000_000).prop_map(Act::Advance),
        (-100_000_i64..100_000).prop_map(Act::Step),
        (-400_000_000_000_i64..400_000_000_000).prop_map(Act::Step),
        Just(Act::Observe),
    ];
    prop::collection::vec(act, 1..200)
}

proptest! {
    #[test]
    fn time_never_falls_and_keeps_within_500_ppm_of_the_boot_clock(acts in acts()) {
        let hands = Hands::new(START);
        let time = pinned(&hands);
        let (mut last, mut passed_ns) = (time.now_ns(), 0_i64);
        for act in acts {
            match act {
                Act::Advance(ns) => {
                    hands.advance(Duration::from_nanos(ns));
                    passed_ns += i64::try_from(ns).expect("five seconds");
                }
                Act::Step(by_ms) => hands.step_real(by_ms),
                Act::Observe => time.observe(),
            }
            let now = time.now_ns();
            prop_assert!(now >= last, "time fell from {last} to {now} at {act:?}");
            last = now;
            let strayed = now - START * NS_PER_MS - passed_ns;
            // Each change of the line rounds by a nanosecond.
            prop_assert!(strayed.abs() <= passed_ns / 2_000 + 200, "{strayed} ns off after {passed_ns} ns");
        }
    }
}
