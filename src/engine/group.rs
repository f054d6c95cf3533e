//! Group commit: what many callers want done at the same time is done by one statement, and each gets its own answer.
//!
//! Its own file, because accepting, beginning and ending attempts all stand on it: a commit costs the disk the same for one
//! row as for a thousand.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What one statement of a group does: an answer for each item, in their order, or a fault for all.
pub trait Statement<I, O>: Send + Sync + 'static {
    type Error: Clone + Send;

    fn run(&self, items: Vec<I>) -> impl Future<Output = Result<Vec<O>, Self::Error>> + Send;
}

/// How much may be on its way.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Items of one statement. A call of more is one statement all the same.
    pub items: usize,
    /// Statements at once, each with a connection of its own.
    pub statements: usize,
    /// Calls that wait. Who comes then waits for a place.
    pub waiting: usize,
}

/// A call's items, and where its answer goes.
struct Call<I, O, E> {
    items: Vec<I>,
    answer: oneshot::Sender<Result<Vec<O>, E>>,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault<E> {
    #[error("{0}")]
    Statement(E),
    /// Nobody knows whether it was done: the statement was cut off.
    #[error("stopped")]
    Stopped,
}

/// The callers' side. Clones are the same group.
pub struct Group<I, O, E> {
    calls: mpsc::Sender<Call<I, O, E>>,
}

impl<I, O, E> Clone for Group<I, O, E> {
    fn clone(&self) -> Self {
        Self {
            calls: self.calls.clone(),
        }
    }
}

impl<I: Send + 'static, O: Send + 'static, E: Clone + Send + 'static> Group<I, O, E> {
    /// Runs until `stop`, in tasks of `tasks`. What has been called by then is still done.
    pub fn start<S>(
        statement: S,
        bounds: Bounds,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self
    where
        S: Statement<I, O, Error = E>,
    {
        let (calls, waiting) = mpsc::channel(bounds.waiting);
        let gather = gather(Arc::new(statement), bounds, waiting, tasks.clone(), stop);
        tasks.spawn(gather);
        Self { calls }
    }

    /// Has these done, together with whatever else is waiting. Dropped before its end it may have been done or not.
    pub async fn call(&self, items: Vec<I>) -> Result<Vec<O>, Fault<E>> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let call = Call { items, answer };
        if self.calls.send(call).await.is_err() {
            return Err(Fault::Stopped);
        }
        match answered.await {
            Ok(done) => done.map_err(Fault::Statement),
            Err(_) => Err(Fault::Stopped),
        }
    }
}

/// Takes what waits whenever a statement may run: the slower the disk, the larger the groups.
async fn gather<I, O, S>(
    statement: Arc<S>,
    bounds: Bounds,
    mut waiting: mpsc::Receiver<Call<I, O, S::Error>>,
    tasks: TaskTracker,
    stop: CancellationToken,
) where
    I: Send + 'static,
    O: Send + 'static,
    S: Statement<I, O>,
    S::Error: 'static,
{
    let places = Arc::new(Semaphore::new(bounds.statements));
    // The call that was one too many for the last group.
    let mut left: Option<Call<I, O, S::Error>> = None;
    loop {
        let first = match left.take() {
            Some(call) => call,
            None => tokio::select! {
                biased;
                call = waiting.recv() => match call {
                    Some(call) => call,
                    None => return,
                },
                () = stop.cancelled() => {
                    // No new calls; those that wait are still received, and then there are none.
                    waiting.close();
                    match waiting.recv().await {
                        Some(call) => call,
                        None => return,
                    }
                }
            },
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let mut size = first.items.len();
        let mut calls = vec![first];
        while size < bounds.items {
            let Ok(call) = waiting.try_recv() else {
                break;
            };
            if size + call.items.len() > bounds.items {
                left = Some(call);
                break;
            }
            size += call.items.len();
            calls.push(call);
        }
        tasks.spawn(run(Arc::clone(&statement), calls, place));
    }
}

async fn run<I, O, S: Statement<I, O>>(
    statement: Arc<S>,
    calls: Vec<Call<I, O, S::Error>>,
    _place: OwnedSemaphorePermit,
) {
    let mut items = Vec::with_capacity(calls.iter().map(|call| call.items.len()).sum());
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        answers.push((call.items.len(), call.answer));
        items.extend(call.items);
    }
    let done = statement.run(items).await;
    match done {
        Ok(done) => {
            let mut done = done.into_iter();
            for (count, answer) in answers {
                // Who has gone away does not want it.
                let _ = answer.send(Ok(done.by_ref().take(count).collect()));
            }
        }
        Err(fault) => {
            for (_, answer) in answers {
                let _ = answer.send(Err(fault.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;

    use super::*;

    /// Doubles numbers, remembers the sizes of its groups, and waits for a word before each.
    #[derive(Clone, Default)]
    struct Doubling {
        sizes: Arc<Mutex<Vec<usize>>>,
        go: Arc<Notify>,
    }

    impl Statement<u32, u32> for Doubling {
        type Error = String;

        async fn run(&self, items: Vec<u32>) -> Result<Vec<u32>, String> {
            self.go.notified().await;
            self.sizes.lock().expect("nobody panics").push(items.len());
            match items.contains(&13) {
                true => Err("thirteen".to_owned()),
                false => Ok(items.into_iter().map(|it| it * 2).collect()),
            }
        }
    }

    const BOUNDS: Bounds = Bounds {
        items: 4,
        statements: 1,
        waiting: 100,
    };

    fn start(doubling: &Doubling) -> (Group<u32, u32, String>, TaskTracker, CancellationToken) {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let group = Group::start(doubling.clone(), BOUNDS, &tasks, stop.clone());
        (group, tasks, stop)
    }

    #[tokio::test]
    async fn calls_that_come_while_a_statement_runs_are_the_next_one_and_each_has_its_own_answer() {
        let doubling = Doubling::default();
        let (group, _, _) = start(&doubling);
        let first = tokio::spawn({
            let group = group.clone();
            async move { group.call(vec![1]).await }
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let others: Vec<_> = [vec![2, 3], vec![4], vec![5, 6]]
            .into_iter()
            .map(|items| {
                let group = group.clone();
                tokio::spawn(async move { group.call(items).await })
            })
            .collect();
        tokio::task::yield_now().await;
        for _ in 0..3 {
            doubling.go.notify_one();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }

        assert_eq!(first.await.unwrap(), Ok(vec![2]));
        let mut answers = Vec::new();
        for other in others {
            answers.push(other.await.unwrap().unwrap());
        }
        assert_eq!(answers, [vec![4, 6], vec![8], vec![10, 12]]);
        // Two and one fit into four, two more do not.
        assert_eq!(*doubling.sizes.lock().unwrap(), [1, 3, 2]);
    }

    #[tokio::test]
    async fn a_fault_is_told_to_all_of_its_group_and_to_no_other() {
        let doubling = Doubling::default();
        let (group, _, _) = start(&doubling);
        doubling.go.notify_one();
        assert_eq!(
            group.call(vec![13]).await,
            Err(Fault::Statement("thirteen".to_owned()))
        );
        doubling.go.notify_one();
        assert_eq!(group.call(vec![7]).await, Ok(vec![14]));
    }

    #[tokio::test]
    async fn what_was_called_before_the_stop_is_done_and_nothing_after_it() {
        let doubling = Doubling::default();
        let (group, tasks, stop) = start(&doubling);
        let called = tokio::spawn({
            let group = group.clone();
            async move { group.call(vec![1]).await }
        });
        tokio::task::yield_now().await;
        stop.cancel();
        doubling.go.notify_one();
        assert_eq!(called.await.unwrap(), Ok(vec![2]));
        tasks.close();
        tasks.wait().await;
        assert_eq!(group.call(vec![1]).await, Err(Fault::Stopped));
    }
}
