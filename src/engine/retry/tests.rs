//! Retries on a clock that only the tests move.
//!
//! Its own file, because the outage is a small simulation of its own.

use chrono::TimeZone;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 10, 59, 59).unwrap()
}

fn fresh() -> State {
    State {
        used: 0,
        not_sent: 0,
        expires_at: start() + TimeDelta::days(3),
        is_probe: false,
    }
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(7)
}

/// Each wait until `class`, again and again, comes to something else than a wait; and what that is.
fn waits(class: Class) -> (Vec<TimeDelta>, Step) {
    let (mut now, mut state, mut rng) = (start(), fresh(), rng());
    let mut waits = Vec::new();
    loop {
        match next(state, class, now, &mut rng) {
            Step::Wait { at, state: stored } => {
                waits.push(at - now);
                (now, state) = (at, stored);
            }
            step => return (waits, step),
        }
    }
}

fn is_about(wait: TimeDelta, expected: Duration) -> bool {
    let (wait, expected) = (wait.as_seconds_f64(), expected.as_secs_f64());
    (expected * 0.899..=expected * 1.101).contains(&wait)
}

#[test]
fn a_transient_failure_climbs_the_ladder_and_the_sixth_is_a_dead_letter() {
    let (waits, end) = waits(Class::Transient(None));
    assert_eq!(end, Step::DeadLetter(Cause::AttemptsUsed));
    assert_eq!(waits.len(), LADDER.len());
    for (wait, rung) in waits.iter().zip(LADDER) {
        assert!(is_about(*wait, rung), "{wait} {rung:?}");
    }
}

#[test]
fn the_jitter_spreads_over_a_fifth_of_the_wait() {
    let mut rng = rng();
    let waits: Vec<f64> = (0..1000)
        .map(|_| {
            let state = State { used: 3, ..fresh() };
            match next(state, Class::Transient(None), start(), &mut rng) {
                Step::Wait { at, .. } => (at - start()).as_seconds_f64(),
                step => panic!("{step:?}"),
            }
        })
        .collect();
    let (least, most) = (
        waits.iter().copied().fold(f64::MAX, f64::min),
        waits.iter().copied().fold(0.0, f64::max),
    );
    assert!((270.0..275.0).contains(&least), "{least}");
    assert!((325.0..=330.0).contains(&most), "{most}");
}

#[test]
fn waiting_for_a_rate_uses_no_attempt() {
    let (mut now, mut state, mut rng) = (start(), fresh(), rng());
    for _ in 0..1000 {
        let Step::Wait { at, state: stored } = next(state, Class::RateLimited(None), now, &mut rng)
        else {
            panic!("given up");
        };
        assert!(is_about(at - now, RATE_WAIT));
        (now, state) = (at, stored);
    }
    assert_eq!(state, fresh());
}

#[test]
fn a_providers_own_wait_is_kept_within_a_bound() {
    let wait = |class| match next(fresh(), class, start(), &mut rng()) {
        Step::Wait { at, .. } => at - start(),
        step => panic!("{step:?}"),
    };
    let (minutes, day) = (Duration::from_secs(120), Duration::from_secs(86_400));
    assert!(is_about(wait(Class::RateLimited(Some(minutes))), minutes));
    assert!(is_about(wait(Class::Transient(Some(minutes))), minutes));
    assert!(is_about(wait(Class::RateLimited(Some(day))), WAIT_LIMIT));
    // Sooner than the ladder is not asked for.
    assert!(is_about(
        wait(Class::Transient(Some(Duration::ZERO))),
        LADDER[0]
    ));
}

#[test]
fn nobody_comes_sooner_than_a_provider_asks() {
    let (mut rng, asked) = (rng(), Duration::from_secs(120));
    for class in [
        Class::RateLimited(Some(asked)),
        Class::Transient(Some(asked)),
    ] {
        for _ in 0..100 {
            let Step::Wait { at, .. } = next(fresh(), class, start(), &mut rng) else {
                panic!("given up");
            };
            assert!(at >= start() + TimeDelta::seconds(120), "{at}");
        }
    }
}

#[test]
fn what_never_left_waits_until_it_expires() {
    let (waits, end) = waits(Class::NotSent);
    assert_eq!(end, Step::DeadLetter(Cause::Expired));
    // Three days in steps of half an hour.
    assert!((130..160).contains(&waits.len()), "{}", waits.len());
    assert!(waits[5..].iter().all(|wait| is_about(*wait, LADDER[4])));
}

#[test]
fn what_left_once_starts_its_count_of_what_never_left_again() {
    let state = State {
        not_sent: 9,
        ..fresh()
    };
    let Step::Wait { state, .. } = next(state, Class::Transient(None), start(), &mut rng()) else {
        panic!("given up");
    };
    assert_eq!((state.used, state.not_sent), (1, 0));
}

#[test]
fn the_other_classes_end_at_once_or_are_held() {
    let step = |class| next(fresh(), class, start(), &mut rng());
    assert_eq!(step(Class::Accepted), Step::Done);
    assert_eq!(step(Class::Permanent), Step::Fail);
    assert_eq!(step(Class::Uncertain), Step::Park);
    assert_eq!(step(Class::Account), Step::HoldAccount { state: fresh() });
}

#[test]
fn a_pause_ends_no_earlier_than_it_says_and_uses_nothing() {
    let until = start() + TimeDelta::minutes(10);
    for kind in [
        Pause::Breaker { until },
        Pause::Quota { until },
        Pause::Rate { until },
    ] {
        let Step::Wait { at, state } = pause(fresh(), kind, start(), &mut rng()) else {
            panic!("given up");
        };
        assert_eq!(state, fresh());
        assert!(at >= until && at <= until + TimeDelta::seconds(30), "{at}");
    }
}

#[test]
fn a_message_does_not_wait_beyond_its_end() {
    let state = State {
        expires_at: start() + TimeDelta::minutes(1),
        ..fresh()
    };
    let until = start() + TimeDelta::minutes(2);
    let paused = pause(state, Pause::Quota { until }, start(), &mut rng());
    assert_eq!(paused, Step::DeadLetter(Cause::Expired));
}

/// Opens after five failures in a row, for 30 seconds; then one message is let through as its probe.
struct Breaker {
    failures: u32,
    open_until: Option<DateTime<Utc>>,
}

/// Dead letters after an outage of `minutes`, of a hundred messages that were all due at its beginning.
fn dead_letters_after(minutes: i64, has_breaker: bool) -> usize {
    let (mut rng, end) = (rng(), start() + TimeDelta::minutes(minutes));
    let mut waiting: Vec<(DateTime<Utc>, State)> = vec![(start(), fresh()); 100];
    let mut breaker = Breaker {
        failures: 0,
        open_until: None,
    };
    let mut dead = 0;
    while let Some(first) = (0..waiting.len()).min_by_key(|at| waiting[*at].0) {
        let (now, mut state) = waiting.swap_remove(first);
        let step = match breaker.open_until {
            Some(until) if until > now => pause(state, Pause::Breaker { until }, now, &mut rng),
            open => {
                state.is_probe = open.is_some();
                let class = if now < end {
                    Class::Transient(None)
                } else {
                    Class::Accepted
                };
                breaker.failures = if now < end { breaker.failures + 1 } else { 0 };
                let is_open = has_breaker && breaker.failures >= 5;
                breaker.open_until = is_open.then(|| now + TimeDelta::seconds(30));
                next(state, class, now, &mut rng)
            }
        };
        match step {
            Step::Wait { at, state } => waiting.push((at, state)),
            Step::DeadLetter(_) => dead += 1,
            Step::Done => {}
            step => panic!("{step:?}"),
        }
    }
    dead
}

#[test]
fn an_outage_of_forty_minutes_with_a_breaker_ends_with_no_dead_letters() {
    assert_eq!(dead_letters_after(40, true), 0);
    // An outage of a day, too: what is paused waits.
    assert_eq!(dead_letters_after(24 * 60, true), 0);
    // Without it the ladder is over before the outage: this is what the breaker is for.
    assert_eq!(dead_letters_after(40, false), 100);
}
