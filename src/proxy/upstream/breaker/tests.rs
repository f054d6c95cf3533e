//! The breaker against a model that keeps every outcome in a list, and against many threads.
//!
//! Its own file, because the model is a second breaker.

use proptest::prelude::*;

use super::*;

const SETTINGS: Settings = Settings {
    failures: 50,
    min_requests: 4,
    window: Duration::from_millis(1000),
    open: Duration::from_millis(500),
    probes: 2,
};

/// The same promises, told without a word of bits.
struct Model {
    state: State,
    at: u64,
    granted: u16,
    succeeded: u16,
    outcomes: Vec<(u64, bool)>,
}

impl Model {
    fn new() -> Self {
        Self {
            state: State::Closed,
            at: 0,
            granted: 0,
            succeeded: 0,
            outcomes: Vec::new(),
        }
    }

    fn admit(&mut self, now: u64) -> Admission {
        let open = SETTINGS.open.as_millis() as u64;
        match self.state {
            State::Closed => return Admission::Pass,
            State::Open if now < self.at => {
                let left = Duration::from_millis(self.at - now);
                return Admission::Refused { left };
            }
            State::HalfOpen if self.granted < SETTINGS.probes => self.granted += 1,
            State::HalfOpen if now < self.at + open => {
                let left = Duration::from_millis(self.at + open - now);
                return Admission::Refused { left };
            }
            _ => {
                self.state = State::HalfOpen;
                self.at = now.max(self.at + 1);
                (self.granted, self.succeeded) = (1, 0);
            }
        }
        Admission::Probe { since: self.at }
    }

    fn note(&mut self, now: u64, admission: Admission, outcome: Outcome) {
        let open = SETTINGS.open.as_millis() as u64;
        match admission {
            Admission::Refused { .. } => {}
            Admission::Probe { since } => {
                if self.state != State::HalfOpen || self.at != since {
                    return;
                }
                match outcome {
                    Outcome::Failed => (self.state, self.at) = (State::Open, now + open),
                    Outcome::Abandoned => self.granted -= 1,
                    Outcome::Succeeded => {
                        self.succeeded += 1;
                        if self.succeeded == SETTINGS.probes {
                            (self.state, self.at) = (State::Closed, now);
                            self.outcomes.clear();
                        }
                    }
                }
            }
            Admission::Pass => {
                if outcome == Outcome::Abandoned {
                    return;
                }
                self.outcomes.push((now, outcome == Outcome::Failed));
                // The bucket in which the breaker closed is left out: what came before it cannot be told apart.
                let bucket = |at: u64| at / 100;
                let window: Vec<bool> = self
                    .outcomes
                    .iter()
                    .filter(|(at, _)| bucket(*at) + 10 > bucket(now))
                    .filter(|(at, _)| self.at == 0 || bucket(*at) > bucket(self.at))
                    .map(|(_, failed)| *failed)
                    .collect();
                let failed = window.iter().filter(|f| **f).count();
                let over = window.len() >= SETTINGS.min_requests as usize
                    && failed * 100 >= window.len() * usize::from(SETTINGS.failures);
                if self.state == State::Closed && outcome == Outcome::Failed && over {
                    (self.state, self.at) = (State::Open, now + open);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ask,
    /// The request at this place of those under way ends.
    End(usize, Outcome),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Failed),
        4 => Just(Outcome::Succeeded),
        1 => Just(Outcome::Abandoned),
    ];
    prop_oneof![
        2 => (0u64..700).prop_map(Step::Wait),
        4 => Just(Step::Ask),
        4 => (any::<usize>(), outcome).prop_map(|(place, outcome)| Step::End(place, outcome)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_breaker_does_what_its_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let (breaker, mut model) = (Breaker::new(SETTINGS), Model::new());
        let (mut now, mut under_way) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Ask => {
                    let admission = breaker.admit(now);
                    prop_assert_eq!(admission, model.admit(now));
                    under_way.push(admission);
                }
                Step::End(place, outcome) if !under_way.is_empty() => {
                    let admission = under_way.swap_remove(place % under_way.len());
                    let before = breaker.state();
                    let told = breaker.note(now, admission, outcome);
                    model.note(now, admission, outcome);
                    prop_assert_eq!(told, (before != model.state).then_some(model.state));
                }
                Step::End(..) => {}
            }
            prop_assert_eq!(breaker.state(), model.state);
        }
    }

    #[test]
    fn a_word_keeps_what_is_put_in(granted in 0u16..2000, succeeded in 0u16..2000, at in 0..TIME_MASK) {
        for state in [State::Closed, State::HalfOpen, State::Open] {
            let word = Word { state, granted, succeeded, at };
            prop_assert_eq!(Word::unpack(word.pack()), word);
        }
    }
}

fn fail(breaker: &Breaker, now: u64, times: usize) {
    for _ in 0..times {
        let admission = breaker.admit(now);
        breaker.note(now, admission, Outcome::Failed);
    }
}

#[test]
fn failures_below_the_least_number_of_requests_open_nothing() {
    let breaker = Breaker::new(SETTINGS);
    fail(&breaker, 0, 3);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 0, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn old_failures_are_forgotten() {
    let breaker = Breaker::new(SETTINGS);
    fail(&breaker, 0, 3);
    fail(&breaker, 1000, 3);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn an_open_breaker_says_how_long() {
    let breaker = Breaker::new(SETTINGS);
    fail(&breaker, 100, 4);
    let left = Duration::from_millis(300);
    assert_eq!(breaker.admit(300), Admission::Refused { left });
}

#[test]
fn however_many_ask_at_once_only_the_probes_get_through() {
    let breaker = Breaker::new(SETTINGS);
    fail(&breaker, 0, 4);
    let ask = || matches!(breaker.admit(600), Admission::Probe { .. });
    let through: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| ask()).count()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends"))
            .sum()
    });
    assert_eq!(through, usize::from(SETTINGS.probes));
}

#[test]
fn a_full_bucket_keeps_the_share() {
    let mut bucket = Bucket::default();
    for place in 0..1_000_000 {
        bucket = bucket.count(1, place % 2 == 0);
    }
    let bucket = Bucket::unpack(bucket.pack());
    assert_eq!(bucket.failed * 2 / bucket.total, 1, "{bucket:?}");
}
