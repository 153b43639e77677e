//! The one timer of a task.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use kvs_media::time::Monotonic;
use tokio::time::{Instant, Sleep};

/// The one timer of a task, which goes off at its next deadline. Set for earlier, it stays: looking once too often costs
/// less than setting it anew each time.
#[derive(Debug, Default)]
pub(crate) struct Timer(Option<(Monotonic, Pin<Box<Sleep>>)>);

impl Timer {
    /// True when it goes off; it is to be set for the next deadline then, by asking again. The deadline is to come: what is
    /// over has been looked at.
    pub(crate) fn poll(&mut self, deadline: Monotonic, now: Monotonic, cx: &mut Context<'_>) -> bool {
        let (at, sleep) = match &mut self.0 {
            Some((at, sleep)) => {
                if deadline < *at || *at <= now {
                    sleep.as_mut().reset(instant(deadline, now));
                    *at = deadline;
                }
                (at, sleep)
            }
            none => {
                let sleep = Box::pin(tokio::time::sleep_until(instant(deadline, now)));
                let (at, sleep) = none.insert((deadline, sleep));
                (at, sleep)
            }
        };
        let due = sleep.as_mut().poll(cx).is_ready();
        if due {
            *at = Monotonic::default();
        }
        due
    }
}

/// The timer counts milliseconds, and goes off after them.
fn instant(deadline: Monotonic, now: Monotonic) -> Instant {
    Instant::now() + deadline.saturating_since(now).max(Duration::from_micros(1))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;
    use crate::clock;

    /// How long it takes to go off, in milliseconds.
    async fn waits(timer: &mut Timer, deadlines: &[u64]) -> u128 {
        let (begun, start) = (Instant::now(), clock::monotonic());
        let mut deadlines = deadlines.iter().map(|ms| start.saturating_add(Duration::from_millis(*ms)));
        let mut deadline = deadlines.next().unwrap();
        poll_fn(|cx| {
            for earlier in deadlines.by_ref() {
                assert!(!timer.poll(deadline, clock::monotonic(), cx));
                deadline = earlier;
            }
            while clock::monotonic() < deadline {
                if !timer.poll(deadline, clock::monotonic(), cx) {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
        begun.elapsed().as_millis()
    }

    #[tokio::test]
    async fn it_goes_off_at_the_earliest_of_its_deadlines_again_and_again() {
        let mut timer = Timer::default();
        for _ in 0..3 {
            assert!((20..2_000).contains(&waits(&mut timer, &[20]).await));
            assert!((20..2_000).contains(&waits(&mut timer, &[60_000, 20]).await));
        }
    }
}
