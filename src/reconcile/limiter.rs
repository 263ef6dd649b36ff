//! How many passes work at one time. A seat is for working, not for waiting.
//!
//! *Guarantees:* work begins only when a seat is free, in the order in which it asked. A pass that nothing woke for
//! [`PATIENCE`] has given its seat back: hosts that hang do not keep the others from theirs. *Caveats:* what wakes again
//! is not made to queue a second time, since the limits of its calls run on; for as long as more are awake than there are
//! seats, nobody else begins. Passes that are under way hold memory: there is room for [`ROOM`] times as many as there are
//! seats, and only one that hangs gives up its place.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, Sleep};

/// How long one that waits keeps its seat: longer than a sound Engine takes for an answer, and so short that a hundred
/// hosts that hang cost the others a fraction of a second.
const PATIENCE: Duration = Duration::from_millis(100);
/// Passes under way, working or waiting, a seat.
const ROOM: usize = 16;
/// What is silent for longer than this after it lost its seat, hangs.
const HANGING: Duration = Duration::from_secs(3);

/// The seats.
#[derive(Debug)]
pub(crate) struct PassLimiter {
    limit: usize,
    taken: Mutex<usize>,
    freed: Notify,
    /// Those who wait come in one after the other.
    door: tokio::sync::Mutex<()>,
    room: Semaphore,
}

/// One seat; free again when it is dropped.
struct Seat<'a>(&'a PassLimiter);

impl PassLimiter {
    /// So many, and at least one.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            room: Semaphore::new(limit.saturating_mul(ROOM).min(Semaphore::MAX_PERMITS)),
            taken: Mutex::new(0),
            freed: Notify::new(),
            door: tokio::sync::Mutex::default(),
        }
    }

    /// Waits for a seat, then begins the work and does it. Work that has not begun takes no memory.
    pub(crate) async fn run<W: Future>(&self, begin: impl FnOnce() -> W) -> W::Output {
        // Never closed, so there is always one in the end.
        let mut place = self.room.acquire().await.ok();
        let mut seat = Some(self.sit().await);
        let bell = Arc::new(Bell::default());
        let mut work = pin!(begin());
        let mut rest = pin!(tokio::time::sleep(PATIENCE));
        let own = Waker::from(Arc::clone(&bell));
        std::future::poll_fn(|context| {
            bell.outer.register(context.waker());
            if bell.is_woken() {
                seat.get_or_insert_with(|| self.squeeze_in());
                let done = work.as_mut().poll(&mut Context::from_waker(&own));
                rest.as_mut().reset(Instant::now() + PATIENCE);
                if done.is_ready() {
                    return done;
                }
            }
            while (seat.is_some() || place.is_some()) && is_over(rest.as_mut(), context) {
                if seat.take().is_some() {
                    rest.as_mut().reset(Instant::now() + HANGING);
                } else {
                    place = None;
                }
            }
            Poll::Pending
        })
        .await
    }

    async fn sit(&self) -> Seat<'_> {
        let _turn = self.door.lock().await;
        loop {
            {
                let mut taken = self.taken();
                if *taken < self.limit {
                    *taken += 1;
                    return Seat(self);
                }
            }
            self.freed.notified().await;
        }
    }

    /// For one that had a seat before.
    fn squeeze_in(&self) -> Seat<'_> {
        *self.taken() += 1;
        Seat(self)
    }

    fn taken(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        *taken = taken.saturating_sub(1);
        drop(taken);
        self.0.freed.notify_one();
    }
}

fn is_over(rest: std::pin::Pin<&mut Sleep>, context: &mut Context<'_>) -> bool {
    rest.poll(context).is_ready()
}

/// Tells whether the work itself was woken, or only somebody around it.
struct Bell {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl Default for Bell {
    /// The first turn is everybody's.
    fn default() -> Self {
        Self { woken: AtomicBool::new(true), outer: AtomicWaker::new() }
    }
}

impl Bell {
    fn is_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.outer.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_waits_gives_its_seat_to_the_next_and_takes_it_again_when_it_wakes() {
        let seats = PassLimiter::new(1);
        let (bell, answer) = (Notify::new(), Notify::new());
        let told = Mutex::new(Vec::new());
        let say = |what: &'static str| told.lock().unwrap().push((what, *seats.taken()));
        let silent = seats.run(|| async {
            say("silent begins");
            bell.notified().await;
            say("silent goes on");
            answer.notify_one();
        });
        let other = seats.run(|| async {
            say("other begins");
            bell.notify_one();
            answer.notified().await;
            say("other ends");
        });
        tokio::join!(silent, other);
        let told = told.lock().unwrap();
        let order: Vec<&str> = told.iter().map(|(what, _)| *what).collect();
        assert_eq!(order, ["silent begins", "other begins", "silent goes on", "other ends"]);
        // Both were awake for a moment.
        assert_eq!(told[2].1, 2);
        assert_eq!(*seats.taken(), 0);
    }

    #[tokio::test]
    async fn many_that_hang_do_not_keep_the_others_from_working_for_long() {
        let seats = PassLimiter::new(4);
        let begun = Instant::now();
        let hanging =
            futures_util::future::join_all((0..40).map(|_| seats.run(std::future::pending::<()>)));
        let sound = futures_util::future::join_all((0..20).map(|_| {
            seats.run(|| async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert!(*seats.taken() <= 4);
            })
        }));
        tokio::select! {
            biased;
            _ = hanging => unreachable!(),
            _ = sound => {}
        }
        assert!(begun.elapsed() < PATIENCE * 11 + Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(*seats.taken(), 0);
    }

    #[tokio::test]
    async fn so_many_are_under_way_as_there_is_room_for_until_some_hang() {
        let seats = PassLimiter::new(4);
        let begun = std::sync::atomic::AtomicUsize::new(0);
        let count = || begun.load(Ordering::Relaxed);
        let hanging = futures_util::future::join_all((0..100).map(|_| {
            seats.run(|| async {
                begun.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            })
        }));
        let watched = async {
            while count() < 4 * ROOM {
                tokio::time::sleep(PATIENCE).await;
            }
            tokio::time::sleep(PATIENCE * 3).await;
            assert_eq!(count(), 4 * ROOM);
            tokio::time::timeout(HANGING * 3, async {
                while count() < 100 {
                    tokio::time::sleep(PATIENCE).await;
                }
            })
            .await
            .unwrap();
        };
        tokio::select! {
            biased;
            _ = hanging => unreachable!(),
            () = watched => {}
        }
    }

    #[tokio::test]
    async fn one_that_works_on_keeps_its_seat() {
        let seats = PassLimiter::new(1);
        let begun = Instant::now();
        let busy = async {
            for _ in 0..10 {
                tokio::time::sleep(PATIENCE / 2).await;
            }
        };
        let ((), next) = tokio::join!(seats.run(|| busy), seats.run(|| async { begun.elapsed() }));
        assert!(PATIENCE * 5 <= next, "{next:?}");
    }

    #[tokio::test]
    async fn whoever_stops_waiting_leaves_no_gap() {
        let seats = PassLimiter::new(1);
        let first = seats.sit().await;
        drop(tokio::time::timeout(Duration::from_millis(1), seats.run(|| async {})).await);
        drop(first);
        seats.run(|| async {}).await;
        assert_eq!(*seats.taken(), 0);
    }
}
