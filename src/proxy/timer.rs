//! When does a wait end? One coarse wheel per worker instead of one timer per read.
//!
//! Moving a deadline is a store: the wheel finds out when the old slot comes up and files the timer again. So the common
//! case, a deadline pushed back by every request, costs nothing. A timer that fires wakes its task, which asks
//! [`Timer::poll_expired`]. Deadlines are kept to [`TICK`]; they fire late by at most one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock;
use crate::moment::Moment;

/// The wheel's resolution.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Slots of the wheel: timers further away are filed in the last one and filed again when it comes up.
const SLOTS: u64 = 512;
/// Timers a slot holds without asking the allocator; one that held more keeps room for [`MOST_KEPT`].
const IN_A_SLOT: usize = 8;
const MOST_KEPT: usize = 64;
const NEVER: u64 = u64::MAX;

/// All timers of one worker.
#[derive(Debug)]
pub(crate) struct Timers {
    wheel: RefCell<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    started: Moment,
    /// Ticks before this one have been handled.
    next_tick: u64,
    slots: Vec<Vec<(u32, u32)>>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// What the driver sleeps until; an earlier timer wakes it.
    sleeping_until: u64,
    driver: Option<Waker>,
}

#[derive(Debug)]
struct Entry {
    /// Distinguishes this use of the entry from earlier ones that the slots may still name.
    generation: u32,
    deadline: u64,
    /// The slot's tick under which the entry is filed.
    filed: u64,
    waker: Option<Waker>,
}

/// One wait at a time, held by one task.
#[derive(Debug)]
pub(crate) struct Timer {
    timers: Rc<Timers>,
    id: u32,
}

impl Timers {
    pub fn new(now: Moment) -> Rc<Self> {
        Rc::new(Timers {
            wheel: RefCell::new(Wheel {
                started: now,
                next_tick: 0,
                slots: (0..SLOTS).map(|_| Vec::with_capacity(IN_A_SLOT)).collect(),
                entries: Vec::new(),
                free: Vec::new(),
                sleeping_until: NEVER,
                driver: None,
            }),
        })
    }

    /// A timer without a deadline.
    pub fn timer(self: &Rc<Self>) -> Timer {
        let mut wheel = self.wheel.borrow_mut();
        let id = match wheel.free.pop() {
            Some(id) => id,
            None => {
                wheel.entries.push(Entry { generation: 0, deadline: NEVER, filed: NEVER, waker: None });
                (wheel.entries.len() - 1) as u32
            }
        };
        Timer { timers: Rc::clone(self), id }
    }

    /// Wakes every task that holds a timer: something changed that they all must look at (draining, a killed server).
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = self.wheel.borrow().entries.iter().filter_map(|entry| entry.waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Runs for as long as the worker does.
    pub async fn drive(self: Rc<Self>) {
        let sleep = tokio::time::sleep(TICK);
        tokio::pin!(sleep);
        poll_fn(|cx| {
            loop {
                let next = self.turn(clock::refresh(), cx);
                match next {
                    Some(at) => {
                        sleep.as_mut().reset(at.instant().into());
                        if sleep.as_mut().poll(cx).is_pending() {
                            return Poll::<()>::Pending;
                        }
                    }
                    None => return Poll::Pending,
                }
            }
        })
        .await;
    }

    /// Handles what is due and says when to come back.
    fn turn(&self, now: Moment, cx: &Context<'_>) -> Option<Moment> {
        let due = self.wheel.borrow_mut().take_due(now);
        due.into_iter().for_each(Waker::wake);
        let mut wheel = self.wheel.borrow_mut();
        wheel.driver = Some(cx.waker().clone());
        let next = wheel.next_filed();
        wheel.sleeping_until = next.unwrap_or(NEVER);
        next.map(|tick| end_of(tick, wheel.started))
    }
}

/// When a tick of a wheel that began at `started` is over. Counted in 64 bits: 32 would do for 497 days, and then the
/// driver would be told to come back in the past, again and again.
fn end_of(tick: u64, started: Moment) -> Moment {
    started + Duration::from_nanos(u64::from(TICK.subsec_nanos()) * (tick + 1))
}

impl Wheel {
    fn tick_of(&self, at: Moment) -> u64 {
        at.units_since(self.started, TICK)
    }

    fn file(&mut self, id: u32, deadline: u64) {
        let tick = deadline.clamp(self.next_tick, self.next_tick + SLOTS - 1);
        let entry = &mut self.entries[id as usize];
        entry.filed = tick;
        self.slots[(tick % SLOTS) as usize].push((id, entry.generation));
        if tick < self.sleeping_until
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    fn take_due(&mut self, now: Moment) -> Vec<Waker> {
        let current = self.tick_of(now);
        let mut woken = Vec::new();
        while self.next_tick < current {
            let tick = self.next_tick;
            self.next_tick += 1;
            let slot = (tick % SLOTS) as usize;
            if self.slots[slot].is_empty() {
                continue;
            }
            let mut filed = std::mem::take(&mut self.slots[slot]);
            for (id, generation) in filed.drain(..) {
                let entry = &mut self.entries[id as usize];
                if entry.generation != generation || entry.filed != tick {
                    continue; // freed, or filed earlier meanwhile
                }
                entry.filed = NEVER;
                match entry.deadline {
                    NEVER => {}
                    deadline if deadline <= tick => woken.extend(entry.waker.clone()),
                    deadline => self.file(id, deadline),
                }
            }
            if self.slots[slot].is_empty() {
                filed.shrink_to(MOST_KEPT); // or each rush would leave its room in another slot
                self.slots[slot] = filed;
            }
        }
        woken
    }

    fn next_filed(&self) -> Option<u64> {
        (self.next_tick..self.next_tick + SLOTS).find(|tick| !self.slots[(tick % SLOTS) as usize].is_empty())
    }
}

impl Timer {
    /// Moves the deadline; `None` waits for ever.
    pub fn set(&self, deadline: Option<Moment>) {
        let mut wheel = self.timers.wheel.borrow_mut();
        let tick = deadline.map_or(NEVER, |at| wheel.tick_of(at));
        let entry = &mut wheel.entries[self.id as usize];
        entry.deadline = tick;
        if tick < entry.filed {
            wheel.file(self.id, tick);
        }
    }

    /// The deadline is `after` from now on.
    pub fn set_after(&self, after: Option<Duration>) {
        self.set(after.and_then(|after| clock::now().checked_add(after)));
    }

    /// Whether the deadline has passed. If not, the task is woken when it does.
    pub fn poll_expired(&self, cx: &Context<'_>) -> bool {
        let mut wheel = self.timers.wheel.borrow_mut();
        let now = wheel.next_tick;
        let entry = &mut wheel.entries[self.id as usize];
        if entry.deadline < now {
            return true;
        }
        match &mut entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        false
    }

    /// Waits for `after` to pass.
    #[cfg(test)]
    pub async fn sleep(&self, after: Duration) {
        self.set_after(Some(after));
        self.bound(std::future::pending::<()>()).await;
        self.set(None);
    }

    /// Runs a future until the deadline. `None`: the deadline came first.
    pub async fn bound<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match Pin::as_mut(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.poll_expired(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut wheel = self.timers.wheel.borrow_mut();
        let entry = &mut wheel.entries[self.id as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.deadline = NEVER;
        entry.filed = NEVER;
        entry.waker = None;
        wheel.free.push(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Story {
        timers: Rc<Timers>,
        start: Moment,
    }

    impl Story {
        fn new() -> Self {
            let start = clock::refresh();
            Story { timers: Timers::new(start), start }
        }

        fn at(&self, ms: u64) -> Moment {
            self.start + Duration::from_millis(ms)
        }

        /// Lets time pass up to `ms` and says whether `timer` has expired.
        fn expired_at(&self, timer: &Timer, ms: u64) -> bool {
            let cx = Context::from_waker(Waker::noop());
            self.timers.turn(self.at(ms), &cx);
            timer.poll_expired(&cx)
        }
    }

    #[test]
    fn fires_after_its_deadline_and_not_before() {
        let story = Story::new();
        let timer = story.timers.timer();
        timer.set(Some(story.at(100)));
        assert!(!story.expired_at(&timer, 99));
        assert!(story.expired_at(&timer, 120));
    }

    #[test]
    fn a_deadline_moved_back_fires_at_the_new_time() {
        let story = Story::new();
        let timer = story.timers.timer();
        timer.set(Some(story.at(100)));
        timer.set(Some(story.at(300)));
        assert!(!story.expired_at(&timer, 200));
        assert!(story.expired_at(&timer, 320));
    }

    #[test]
    fn a_deadline_moved_forward_fires_early() {
        let story = Story::new();
        let timer = story.timers.timer();
        timer.set(Some(story.at(60_000)));
        timer.set(Some(story.at(50)));
        assert!(story.expired_at(&timer, 70));
    }

    #[test]
    fn deadlines_beyond_the_wheel_are_kept() {
        let story = Story::new();
        let timer = story.timers.timer();
        timer.set(Some(story.at(60_000)));
        assert!(!story.expired_at(&timer, 59_000));
        assert!(story.expired_at(&timer, 60_020));
    }

    #[test]
    fn a_reused_entry_is_not_fired_by_its_predecessor() {
        let story = Story::new();
        let first = story.timers.timer();
        first.set(Some(story.at(50)));
        drop(first);
        let second = story.timers.timer();
        assert!(!story.expired_at(&second, 100));
        second.set(Some(story.at(200)));
        assert!(!story.expired_at(&second, 190));
        assert!(story.expired_at(&second, 220));
    }

    #[test]
    fn a_slot_forgets_a_rush() {
        let story = Story::new();
        let rush: Vec<_> = (0..1000).map(|_| story.timers.timer()).collect();
        rush.iter().for_each(|timer| timer.set(Some(story.at(50))));
        assert!(story.expired_at(&rush[999], 70));
        let wheel = story.timers.wheel.borrow();
        assert!(wheel.slots.iter().all(|slot| slot.capacity() <= MOST_KEPT));
    }

    #[test]
    fn the_wheel_turns_for_years() {
        let started = Story::new().start;
        let check = |tick, seconds| assert_eq!(end_of(tick, started), started + Duration::from_secs(seconds));
        check(99, 1);
        check(100 * 86_400 * 498 - 1, 86_400 * 498);
        check(100 * 86_400 * 36_500 - 1, 86_400 * 36_500);
    }
}
