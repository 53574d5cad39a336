//! What the services call the requests of a write, for whoever has to ask their support about it.

use std::cell::RefCell;

use tokio::task_local;

task_local! {
    static TRAIL: RefCell<Vec<Footprint>>;
    static CHANGE: usize;
}

/// One request that was to write something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The service's id for it.
    pub id: String,
    /// Of which of the changes that were asked for together, by position; `None` for all of them.
    pub change: Option<usize>,
}

/// The ids that a piece of work leaves behind, carried beside it: no signature between the plan and the wire knows
/// of them. They follow the task, not what it spawns.
#[derive(Clone, Copy, Debug)]
pub struct Trail;

impl Trail {
    /// Runs `work`, and gives what it noted beside what it gives. Work within it that is followed too keeps its own.
    pub async fn follow<F: Future>(work: F) -> (F::Output, Vec<Footprint>) {
        let followed = async {
            let output = work.await;
            (output, TRAIL.with(RefCell::take))
        };
        TRAIL.scope(RefCell::default(), followed).await
    }

    /// Runs `work`, whose notes are those of the change at `position` among the ones asked for together.
    pub async fn within<F: Future>(position: usize, work: F) -> F::Output {
        CHANGE.scope(position, work).await
    }

    /// Notes `id`, where somebody follows; the first few of any piece of work, since retries have no end.
    pub fn note(id: &str) {
        let change = CHANGE.try_with(|change| *change).ok();
        let _ = TRAIL.try_with(|trail| {
            let mut trail = trail.borrow_mut();
            if trail.len() < LONGEST {
                trail.push(Footprint { id: id.to_owned(), change });
            }
        });
    }
}

/// More than the largest batch of changes takes.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use futures::future::join;
    use tokio::task::yield_now;

    use super::*;

    async fn noting(ids: &[&str]) {
        for id in ids {
            Trail::note(id);
            yield_now().await;
        }
    }

    fn ids(trail: &[Footprint]) -> Vec<(&str, Option<usize>)> {
        trail.iter().map(|print| (print.id.as_str(), print.change)).collect()
    }

    #[tokio::test]
    async fn pieces_of_work_in_one_task_keep_their_own() {
        Trail::note("nobody follows");
        let (one, two) = join(Trail::follow(noting(&["a", "b"])), Trail::follow(noting(&["c"]))).await;
        assert_eq!(ids(&one.1), [("a", None), ("b", None)]);
        assert_eq!(ids(&two.1), [("c", None)]);
    }

    #[tokio::test]
    async fn changes_asked_for_together_are_told_apart() {
        let together = join(Trail::within(0, noting(&["a"])), Trail::within(1, noting(&["b"])));
        let work = async {
            together.await;
            noting(&["batch"]).await;
        };
        let (_, trail) = Trail::follow(work).await;
        assert_eq!(ids(&trail), [("a", Some(0)), ("b", Some(1)), ("batch", None)]);
    }

    #[tokio::test]
    async fn a_trail_has_an_end() {
        let (_, trail) = Trail::follow(noting(&["again"; LONGEST + 1])).await;
        assert_eq!(trail.len(), LONGEST);
    }
}
