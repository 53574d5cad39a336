//! How long whoever asks can wait.

use std::time::Duration;

use tokio::task_local;
use tokio::time::Instant;

task_local! {
    static HASTE: Haste;
}

/// A bound on what a service may ask to wait, carried beside the work as a [`Trail`](super::Trail) is: whoever leaves an
/// account alone by itself is told of a longer wait at once, and not held up by it. It follows the task, not what it
/// spawns.
#[derive(Clone, Copy, Debug)]
pub struct Haste {
    by: Instant,
    longest: Duration,
}

impl Haste {
    /// Runs `work`, which is given up after `limit`: no request of it waits for longer at a service's wish, nor for more
    /// than `longest`.
    pub async fn within<F: Future>(limit: Duration, longest: Duration, work: F) -> F::Output {
        HASTE.scope(Self { by: Instant::now() + limit, longest }, work).await
    }

    /// Until when a request that begins now may wait, where it may wait as long as `usual` without any haste.
    pub(super) fn deadline(usual: Duration) -> Instant {
        let now = Instant::now();
        match HASTE.try_with(|haste| *haste) {
            Ok(Self { by, longest }) => by.min(now + usual.min(longest)),
            Err(_) => now + usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_shortest_of_what_is_usual_what_is_allowed_and_what_is_left() {
        let left = |usual| Haste::deadline(usual) - Instant::now();
        assert_eq!(left(SECOND * 100), SECOND * 100, "nobody is in haste");
        let lefts = Haste::within(SECOND * 8, SECOND * 5, async {
            let first = left(SECOND * 100);
            sleep(SECOND * 6).await;
            [first, left(SECOND * 100), left(SECOND)]
        });
        assert_eq!(lefts.await, [SECOND * 5, SECOND * 2, SECOND]);
    }
}
