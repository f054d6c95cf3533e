//! The corpus of raw requests, replayed: what a proxy makes of bytes that nobody should send.
//!
//! Its own folder, because it has two ends, a judge between them, and other proxies to be compared with. The cases
//! stand in `tests/fixtures/requests/`.

mod beside;
mod fixture;
mod framing;
mod grammar;
mod known;
mod origin;
mod replay;
mod verdict;
mod wall;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fixture::Case;
use origin::Origin;
use replay::{Mode, Seen};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use verdict::{Grade, by_mark, judge};

use super::in_front_of;
use super::wire::Wire;

/// Shorter than a test's patience, longer than any pause of a busy machine within one write. A connection on which the
/// next request became part of the case's body is idle, and ends by `keepalive`.
const DEADLINES: &str =
    "[proxy.timeouts]\nbody_read = \"1s\"\ndrain_body = \"1s\"\nkeepalive = \"3s\"\n";
/// Cases under way at once, and clients that do nothing wrong beside them.
const CASES_AT_ONCE: usize = 24;
const VICTIMS: usize = 6;

/// What came of the whole corpus.
struct Outcome {
    /// By case: the worse of its two modes, and why.
    grades: BTreeMap<String, (Grade, String)>,
    /// What the origin remembers and no case explains.
    orphans: Vec<String>,
    /// Answers that the victims got, and those that were not theirs.
    victims: usize,
    crossed: usize,
}

async fn replay_all(cases: Vec<Case>, proxy: SocketAddr, origin: &Origin) -> Outcome {
    let cases = Arc::new(cases);
    let done = Arc::new(AtomicBool::new(false));
    let victims = spawn_victims(proxy, &done);
    let room = Arc::new(Semaphore::new(CASES_AT_ONCE));
    let mut running = JoinSet::new();
    for number in 0..cases.len() {
        for mode in [Mode::Alone, Mode::Glued] {
            let (cases, room) = (Arc::clone(&cases), Arc::clone(&room));
            running.spawn(async move {
                let _permit = room.acquire().await.expect("room");
                let seen = replay::send(&cases[number], number, mode, proxy).await;
                (number, mode, seen)
            });
        }
    }
    let sent: Vec<(usize, Mode, Seen)> = running.join_all().await;
    done.store(true, Ordering::Relaxed);
    let counts: Vec<(usize, usize)> = victims.join_all().await;

    let mut memory = by_mark(origin.events());
    let mut grades: BTreeMap<String, (Grade, String)> = BTreeMap::new();
    for (number, mode, seen) in &sent {
        let case = &cases[*number];
        let (grade, why) = judge(case, *number, *mode, seen, &memory);
        let why = format!("{mode:?}: {why}");
        let worst = grades
            .entry(case.name.clone())
            .or_insert((Grade::Pass, String::new()));
        if grade > worst.0 {
            *worst = (grade, why);
        }
    }
    for (number, mode, _) in &sent {
        memory.remove(&mode.mark(*number));
        memory.remove(&mode.next_mark(*number));
    }
    // What is left are the victims, each of whom asks with its own mark, and what belongs to nobody.
    memory.retain(|mark, what| !(mark.ends_with('z') && what.is_clean()));
    Outcome {
        grades,
        orphans: memory
            .iter()
            .map(|(mark, what)| format!("nobody's {mark:?}: {}", what.told()))
            .collect(),
        victims: counts.iter().map(|(answers, _)| answers).sum(),
        crossed: counts.iter().map(|(_, crossed)| crossed).sum(),
    }
}

/// Clients on connections of their own, until `done`: how many answers each got, and how many were somebody else's.
fn spawn_victims(proxy: SocketAddr, done: &Arc<AtomicBool>) -> JoinSet<(usize, usize)> {
    let number = Arc::new(AtomicUsize::new(0));
    let mut victims = JoinSet::new();
    for _ in 0..VICTIMS {
        let (done, number) = (Arc::clone(done), Arc::clone(&number));
        victims.spawn(async move {
            let (mut answers, mut crossed) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let mut wire = Wire::connect(proxy).await;
                for _ in 0..20 {
                    let mark = format!("q{:04}z", number.fetch_add(1, Ordering::Relaxed) % 10_000);
                    let answer = wire.ask(replay::plain(&mark, "")).await;
                    answers += 1;
                    crossed += usize::from(answer.body != mark.as_bytes());
                }
            }
            (answers, crossed)
        });
    }
    victims
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_the_corpus_is_read_in_two_ways() {
    let origin = Origin::start().await;
    let ficus = in_front_of(origin.address, DEADLINES).await;
    let outcome = replay_all(fixture::all(), ficus.proxy, &origin).await;
    assert_eq!(outcome.crossed, 0, "of {} answers", outcome.victims);
    assert!(
        outcome.victims > 100,
        "{} victims' answers",
        outcome.victims
    );

    let mut faults = outcome.orphans;
    for (name, (grade, why)) in &outcome.grades {
        let known = known::FAILURES.iter().any(|(known, _)| known == name);
        match (grade, known) {
            (Grade::Pass, true) => {
                faults.push(format!("{name} passes: take it off known::FAILURES"))
            }
            (Grade::Pass, false) | (_, true) => {}
            (grade, false) => faults.push(format!("{grade:?} {name}: {why}")),
        }
    }
    for (name, _) in known::FAILURES {
        assert!(
            outcome.grades.contains_key(*name),
            "no case is called {name}"
        );
    }
    assert!(
        faults.is_empty(),
        "{} faults\n{}\n",
        faults.len(),
        faults.join("\n")
    );
}
