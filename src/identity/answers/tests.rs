//! The promises of the cache of answers, against a look-up that the test lets through when it likes.
//!
//! Its own file, because the promises are about crowds and take room to set up.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use tokio::task::yield_now;

use super::super::key::TokenDigest;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
/// Each request finds its answer due.
const AT_ONCE: Duration = Duration::ZERO;

/// A database that answers the same to everybody, as often as it is let.
struct Fake {
    asked: AtomicUsize,
    gate: Semaphore,
    answer: Mutex<Option<Option<TenantId>>>,
}

impl Fake {
    /// Lets everything through.
    fn open(tenant: i64) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            answer: Mutex::new(Some(Some(TenantId(tenant)))),
        })
    }

    /// Lets nothing through.
    fn shut(tenant: i64) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            answer: Mutex::new(Some(Some(TenantId(tenant)))),
        })
    }

    fn shut_again(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn let_through(&self, count: usize) {
        self.gate.add_permits(count);
    }

    fn log_out(&self) {
        *self.answer.lock().unwrap() = Some(None);
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn until_asked(&self, times: usize) {
        while self.asked() < times {
            yield_now().await;
        }
    }

    async fn find(self: Arc<Self>) -> anyhow::Result<Option<TenantId>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await?.forget();
        self.answer
            .lock()
            .unwrap()
            .ok_or_else(|| anyhow::anyhow!("the database is away"))
    }

    fn answers(self: &Arc<Self>, ttl: Duration) -> Arc<Answers> {
        let fake = Arc::clone(self);
        answers_of(ttl, move || Arc::clone(&fake).find())
    }
}

fn answers_of<F>(ttl: Duration, lookup: impl Fn() -> F + Send + Sync + 'static) -> Arc<Answers>
where
    F: Future<Output = anyhow::Result<Option<TenantId>>> + Send + 'static,
{
    let lookup: Lookup = Arc::new(move |_| {
        let found = lookup();
        Box::pin(async move { Ok(found.await?.map(owner)) })
    });
    let terms = Terms {
        ttl,
        lifetime: HOUR,
        size: 1000,
        unknown: Unresolved::UnknownSession,
    };
    Arc::new(Answers::new(lookup, terms, Handle::current()))
}

fn owner(tenant: TenantId) -> Owner {
    Owner {
        tenant: Some(tenant),
        user: User::new(&format!("u-{tenant}"), None).map(Arc::new),
    }
}

/// The tenant, when the user is that tenant's.
fn tenant_of(answer: Result<Owner, Unresolved>) -> Result<TenantId, Unresolved> {
    let found = answer?;
    let tenant = found.tenant.expect("a tenant");
    assert_eq!(found, owner(tenant), "the user of another answer");
    Ok(tenant)
}

fn key(number: usize) -> Key {
    Key::Token(TokenDigest::of(&number.to_be_bytes()))
}

async fn resolve(answers: &Answers, number: usize) -> Result<TenantId, Unresolved> {
    match answers.recall(key(number), None) {
        Recall::Known(answer) => tenant_of(answer),
        Recall::Due(due) => tenant_of(answers.wait(due).await),
    }
}

fn known(answers: &Answers, number: usize) -> Option<Result<TenantId, Unresolved>> {
    match answers.recall(key(number), None) {
        Recall::Known(answer) => Some(tenant_of(answer)),
        Recall::Due(_) => None,
    }
}

#[tokio::test]
async fn requests_that_meet_on_one_session_wait_for_one_look_up() {
    let fake = Fake::shut(7);
    let answers = fake.answers(HOUR);
    let crowd: Vec<_> = (0..50)
        .map(|_| {
            let answers = Arc::clone(&answers);
            tokio::spawn(async move { resolve(&answers, 1).await })
        })
        .collect();
    fake.until_asked(1).await;
    // More than the one that is needed, so that a second look-up would show.
    fake.let_through(50);
    for request in crowd {
        assert_eq!(request.await.unwrap(), Ok(TenantId(7)));
    }
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn an_answer_is_given_without_waiting_until_it_is_due() {
    let fake = Fake::open(7);
    let answers = fake.answers(HOUR);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.log_out();
    assert_eq!(known(&answers, 1), Some(Ok(TenantId(7))));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn an_unknown_session_is_remembered_too() {
    let fake = Fake::open(7);
    fake.log_out();
    let answers = fake.answers(HOUR);
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::UnknownSession));
    assert_eq!(known(&answers, 1), Some(Err(Unresolved::UnknownSession)));
}

#[tokio::test]
async fn a_due_answer_is_asked_again() {
    let fake = Fake::open(7);
    let answers = fake.answers(AT_ONCE);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.log_out();
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::UnknownSession));
}

#[tokio::test]
async fn a_held_answer_stands_in_for_a_failed_look_up() {
    let fake = Fake::open(7);
    let answers = fake.answers(AT_ONCE);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.fail();
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn while_the_database_is_away_nobody_with_an_answer_waits() {
    let fake = Fake::open(7);
    let answers = fake.answers(AT_ONCE);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.fail();
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.shut_again();
    for _ in 0..50 {
        assert_eq!(known(&answers, 1), Some(Ok(TenantId(7))));
    }
    fake.until_asked(3).await;
    assert_eq!(fake.asked(), 3, "one look-up is under way, and no more");
}

#[tokio::test]
async fn a_database_that_returns_is_noticed() {
    let fake = Fake::open(7);
    let answers = fake.answers(AT_ONCE);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.fail();
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    fake.log_out();
    while known(&answers, 1) == Some(Ok(TenantId(7))) {
        yield_now().await;
    }
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::UnknownSession));
}

#[tokio::test]
async fn a_session_that_was_never_answered_fails_and_is_not_asked_again_at_once() {
    let fake = Fake::open(7);
    fake.fail();
    let answers = fake.answers(HOUR);
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::LookupFailed));
    assert_eq!(known(&answers, 1), Some(Err(Unresolved::LookupFailed)));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn a_database_that_hangs_is_a_failure_after_the_deadline() {
    let answers = Fake::shut(7).answers(HOUR);
    let begun = Instant::now();
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::LookupFailed));
    assert!(
        begun.elapsed() >= DEADLINE && begun.elapsed() < 3 * DEADLINE,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_flood_of_unknown_sessions_asks_no_more_than_the_limit_at_once() {
    let fake = Fake::shut(7);
    let answers = fake.answers(HOUR);
    for number in 0..LOOKUPS {
        let answers = Arc::clone(&answers);
        tokio::spawn(async move { resolve(&answers, number).await });
    }
    fake.until_asked(LOOKUPS).await;
    assert_eq!(resolve(&answers, LOOKUPS).await, Err(Unresolved::Busy));
    assert_eq!(fake.asked(), LOOKUPS);
    // Nothing of it is remembered: with room again, the same session is asked.
    fake.let_through(LOOKUPS + 1);
    assert_eq!(resolve(&answers, 0).await, Ok(TenantId(7)));
    assert_eq!(resolve(&answers, LOOKUPS).await, Ok(TenantId(7)));
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_the_look_up() {
    let fake = Fake::shut(7);
    let answers = fake.answers(HOUR);
    let impatient = tokio::spawn({
        let answers = Arc::clone(&answers);
        async move { resolve(&answers, 1).await }
    });
    fake.until_asked(1).await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    fake.let_through(1);
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn a_look_up_that_panics_lets_the_next_one_begin() {
    let asked = Arc::new(AtomicUsize::new(0));
    let answers = answers_of(HOUR, {
        let asked = Arc::clone(&asked);
        move || {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    panic!("as the test wants it")
                } else {
                    Ok(Some(TenantId(7)))
                }
            }
        }
    });
    assert_eq!(resolve(&answers, 1).await, Err(Unresolved::LookupFailed));
    assert_eq!(resolve(&answers, 1).await, Ok(TenantId(7)));
}

#[tokio::test]
async fn no_more_sessions_are_remembered_than_configured() {
    let fake = Fake::open(7);
    let answers = fake.answers(HOUR);
    for number in 0..5000 {
        assert_eq!(resolve(&answers, number).await, Ok(TenantId(7)));
    }
    assert!(answers.remembered() <= 1000, "{}", answers.remembered());
}

#[tokio::test]
async fn an_answer_is_held_for_the_proofs_lifetime() {
    let answers = Fake::open(7).answers(HOUR);
    let shared = &answers.shared;
    let entry = Entry::default();
    assert_eq!(shared.answer(&entry, 5), None);
    let owner = Some(owner(TenantId(7)));
    entry.answer.store(Some(Arc::new(Answer { owner, at: 5 })));
    let held = |now| shared.answer(&entry, now).map(tenant_of);
    assert_eq!(held(5 + millis(HOUR)), Some(Ok(TenantId(7))));
    assert_eq!(held(6 + millis(HOUR)), None);
}

#[tokio::test]
async fn the_store_is_asked_by_the_text_where_a_digest_would_find_nothing() {
    let heard = Arc::new(Mutex::new(None));
    let lookup: Lookup = {
        let heard = Arc::clone(&heard);
        Arc::new(move |question: Question| {
            *heard.lock().unwrap() = question.text;
            Box::pin(async { Ok(None) })
        })
    };
    let terms = Terms {
        ttl: HOUR,
        lifetime: HOUR,
        size: 1000,
        unknown: Unresolved::UnknownToken,
    };
    let answers = Answers::new(lookup, terms, Handle::current());
    let Recall::Due(due) = answers.recall(key(1), Some("plain")) else {
        panic!("nobody has asked before");
    };
    assert_eq!(answers.wait(due).await, Err(Unresolved::UnknownToken));
    assert_eq!(*heard.lock().unwrap(), Some(Secret::new("plain")));
}
