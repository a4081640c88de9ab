//! Requests, workers, servers and control at once, in every order a seed can think of: is a slot ever lost, used twice, or
//! given to the wrong one?
//!
//! Each request takes the steps that `proxy/upstream/slot.rs` takes, one at a time, and between any two of them anything
//! else may happen. A shadow beside it knows in the plainest way who waits and who should be next.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;
use crate::balance::limit::Limit;

const SERVERS: usize = 3;

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Has seen whether somebody waits.
    Looked {
        empty: bool,
    },
    /// Found all full, or others before it.
    ToJoin,
    /// Joined, and has yet to look at the servers again.
    ToOffer(Ticket),
    Waiting(Ticket),
    Holding(usize),
    /// Has given its slot back, and has yet to pass it on.
    ToPassOn(usize),
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Request {
    at: At,
    class: i16,
    offset_ms: i32,
    /// The one server it must go to.
    only: Option<usize>,
    woken: Arc<Woken>,
}

/// A waiting request as the shadow has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shadow {
    ticket: Ticket,
    /// Class, time with offset, arrival.
    order: (i16, i64, u64),
    only: Option<usize>,
}

struct World {
    backend: Arc<BackendState>,
    servers: Vec<Arc<ServerState>>,
    up: [bool; SERVERS],
    requests: Vec<Request>,
    shadow: Vec<Shadow>,
    arrivals: u64,
    now_ms: i64,
}

impl World {
    fn new() -> World {
        let backend = BackendState::new("app".into(), 1);
        let servers: Vec<_> =
            (0..SERVERS).map(|index| ServerState::new("app".into(), format!("s{index}").into(), 1)).collect();
        let limits = [(1, None), (2, None), (3, Some(1))];
        for (server, (most, least)) in servers.iter().zip(limits) {
            server.set_limit(Limit::new(Some(most), least, 4));
            server.in_rotation.store(true, Ordering::SeqCst);
        }
        let (requests, shadow) = (Vec::new(), Vec::new());
        World { backend, servers, up: [true; SERVERS], requests, shadow, arrivals: 0, now_ms: 0 }
    }

    /// What the shadow says of a server's free slots: who gets them, the first first.
    fn should_get(&self, server: usize) -> Vec<Ticket> {
        let state = &self.servers[server];
        let room = state.limit().at(self.backend.sessions.now()).saturating_sub(state.sessions.now());
        let mut fitting: Vec<&Shadow> =
            self.shadow.iter().filter(|waiting| waiting.only.is_none_or(|only| only == server)).collect();
        fitting.sort_by_key(|waiting| waiting.order);
        fitting.iter().take(room as usize).map(|waiting| waiting.ticket).collect()
    }

    fn granted(&self) -> Vec<(Ticket, usize)> {
        let of = |state: &Arc<ServerState>| self.servers.iter().position(|server| Arc::ptr_eq(server, state)).unwrap();
        self.backend.room.lock().granted.iter().map(|(ticket, state)| (*ticket, of(state))).collect()
    }

    /// Offers a server's slots as `free` and `offer_all` do, and holds who got them against the shadow.
    fn offer(&mut self, server: usize, pass: impl Fn(&World)) {
        let mut expected = if self.up[server] { self.should_get(server) } else { Vec::new() };
        let before = self.granted();
        pass(self);
        let mut got: Vec<Ticket> =
            self.granted().into_iter().filter(|one| !before.contains(one)).map(|(ticket, _)| ticket).collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected, "server {server}");
        self.shadow.retain(|waiting| !got.contains(&waiting.ticket));
    }

    fn offer_all(&mut self) {
        for server in 0..SERVERS {
            if self.up[server] {
                self.offer(server, |world| {
                    let state = &world.servers[server];
                    world.backend.room.offer(state, || state.try_enter(&world.backend));
                });
            }
        }
    }

    fn arrive(&mut self, class: i16, offset_ms: i32, only: Option<usize>) {
        self.backend.sessions.enter();
        let at = At::Looked { empty: self.backend.room.is_empty() };
        assert_eq!(at, At::Looked { empty: self.shadow.is_empty() && self.granted().is_empty() });
        self.requests.push(Request { at, class, offset_ms, only, woken: Arc::new(Woken(AtomicBool::new(false))) });
    }

    /// One step of one request.
    fn step(&mut self, index: usize) {
        let Request { at, class, offset_ms, only, .. } = self.requests[index];
        let only = only.filter(|only| self.up[*only]);
        let next = match at {
            At::Looked { empty: false } => At::ToJoin,
            At::Looked { empty: true } => {
                let mut candidates = only.map_or((0..SERVERS).collect(), |only| vec![only]);
                candidates.retain(|server| self.up[*server]);
                let entered = candidates.into_iter().find(|server| self.servers[*server].try_enter(&self.backend));
                entered.map_or(At::ToJoin, At::Holding)
            }
            At::ToJoin => {
                let want = only.map_or(Want::Any, |only| Want::Only(self.servers[only].key));
                let ticket = self.backend.room.join(self.now_ms, class, offset_ms, want);
                let order = (class, self.now_ms + i64::from(offset_ms), self.arrivals);
                self.arrivals += 1;
                self.shadow.push(Shadow { ticket, order, only });
                At::ToOffer(ticket)
            }
            At::ToOffer(ticket) => {
                self.offer_all();
                self.requests[index].woken.0.store(true, Ordering::SeqCst); // its first poll is on the way
                At::Waiting(ticket)
            }
            At::Waiting(ticket) => self.look_again(index, ticket),
            At::Holding(server) => {
                self.servers[server].sessions.leave();
                At::ToPassOn(server)
            }
            At::ToPassOn(server) => {
                self.offer(server, |world| pass_on(&world.servers[server], &world.backend));
                self.backend.sessions.leave();
                self.requests.swap_remove(index);
                return;
            }
        };
        self.requests[index].at = next;
    }

    /// What a waiting request does when it is polled.
    fn look_again(&mut self, index: usize, ticket: Ticket) -> At {
        let woken = &self.requests[index].woken;
        woken.0.store(false, Ordering::SeqCst);
        if self.backend.room.is_granted(ticket, &Waker::from(Arc::clone(woken))) {
            let state = self.backend.room.leave(ticket).unwrap();
            let server = self.servers.iter().position(|server| Arc::ptr_eq(server, &state)).unwrap();
            return At::Holding(server);
        }
        self.offer_all();
        At::Waiting(ticket)
    }

    /// The client has had enough, wherever its request is.
    fn abort(&mut self, index: usize) {
        match self.requests[index].at {
            At::Looked { .. } | At::ToJoin => {
                self.backend.sessions.leave();
                self.requests.swap_remove(index);
            }
            At::ToOffer(ticket) | At::Waiting(ticket) => {
                self.shadow.retain(|waiting| waiting.ticket != ticket);
                match self.backend.room.leave(ticket) {
                    Some(state) => {
                        let server = self.servers.iter().position(|server| Arc::ptr_eq(server, &state)).unwrap();
                        state.sessions.leave();
                        self.requests[index].at = At::ToPassOn(server);
                    }
                    None => {
                        self.backend.sessions.leave();
                        self.requests.swap_remove(index);
                    }
                }
            }
            At::Holding(_) | At::ToPassOn(_) => self.step(index),
        }
    }

    fn turn(&mut self, server: usize, up: bool) {
        self.up[server] = up;
        self.servers[server].in_rotation.store(up, Ordering::SeqCst);
        if !up {
            for waiting in self.shadow.iter_mut().filter(|waiting| waiting.only == Some(server)) {
                waiting.only = None;
            }
        }
        self.backend.room.changed((!up).then_some(self.servers[server].key));
    }

    fn reload(&mut self, server: usize, most: u32) {
        self.servers[server].set_limit(Limit::new(Some(most), (most > 2).then_some(1), 4));
        self.backend.room.changed([]);
    }

    /// No slot is lost and none is there twice.
    fn check(&self) {
        let granted = self.granted();
        for (index, server) in self.servers.iter().enumerate() {
            let holding = self.requests.iter().filter(|request| request.at == At::Holding(index)).count();
            let kept = granted.iter().filter(|(_, of)| *of == index).count();
            assert_eq!(server.sessions.now() as usize, holding + kept, "server {index}");
        }
        let waiting = self.shadow.len() + granted.len();
        assert_eq!(self.backend.room.inside.load(Ordering::SeqCst) as usize, waiting);
    }

    /// Everyone does what they were about to do; then nobody waits for a slot that is free.
    fn settle(&mut self) {
        while let Some(index) = self.requests.iter().position(|request| match request.at {
            At::Holding(_) => false,
            At::Waiting(ticket) => {
                request.woken.0.load(Ordering::SeqCst) || self.granted().iter().any(|(granted, _)| *granted == ticket)
            }
            _ => true,
        }) {
            self.step(index);
            self.check();
        }
        for server in (0..SERVERS).filter(|server| self.up[*server]) {
            assert_eq!(self.should_get(server), [], "server {server} has room for these");
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Arrive { class, offset_ms, only } => self.arrive(class, offset_ms, only),
            Order::Step(which) if !self.requests.is_empty() => self.step(which % self.requests.len()),
            Order::Abort(which) if !self.requests.is_empty() => self.abort(which % self.requests.len()),
            Order::Turn { server, up } => self.turn(server, up),
            Order::Reload { server, most } => self.reload(server, most),
            Order::Later(ms) => self.now_ms += ms,
            Order::Settle => self.settle(),
            Order::Step(_) | Order::Abort(_) => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Arrive { class: i16, offset_ms: i32, only: Option<usize> },
    Step(usize),
    Abort(usize),
    Turn { server: usize, up: bool },
    Reload { server: usize, most: u32 },
    Later(i64),
    Settle,
}

fn order() -> impl Strategy<Value = Order> {
    let arrive = (-1..2i16, prop_oneof![Just(0), -20..20i32], proptest::option::weighted(0.3, 0..SERVERS));
    prop_oneof![
        6 => arrive.prop_map(|(class, offset_ms, only)| Order::Arrive { class, offset_ms, only }),
        20 => any::<usize>().prop_map(Order::Step),
        2 => any::<usize>().prop_map(Order::Abort),
        1 => (0..SERVERS, any::<bool>()).prop_map(|(server, up)| Order::Turn { server, up }),
        1 => (0..SERVERS, 1..5u32).prop_map(|(server, most)| Order::Reload { server, most }),
        2 => (1..10i64).prop_map(Order::Later),
        1 => Just(Order::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_slot_is_lost_or_used_twice_and_the_first_is_first(
        orders in proptest::collection::vec(order(), 1..200)
    ) {
        let mut world = World::new();
        for order in orders {
            world.obey(order);
            world.check();
        }
        // In the end all servers are there, and everyone who came is served.
        (0..SERVERS).for_each(|server| world.turn(server, true));
        let mut rounds = 0;
        loop {
            world.settle();
            if world.requests.is_empty() {
                break;
            }
            let holding = world.requests.iter().position(|request| matches!(request.at, At::Holding(_)));
            let Some(index) = holding else { panic!("{} wait for nothing", world.requests.len()) };
            world.step(index);
            rounds += 1;
            assert!(rounds < 1000, "nobody gets on");
        }
        assert!(world.shadow.is_empty() && world.granted().is_empty());
        assert!(world.servers.iter().all(|server| server.sessions.now() == 0));
        assert_eq!(world.backend.sessions.now(), 0);
    }
}

#[test]
fn a_slot_given_back_goes_to_who_waits_and_to_nobody_in_between() {
    let world = World::new();
    let (backend, server) = (&world.backend, &world.servers[0]);
    assert!(server.try_enter(backend));
    let ticket = backend.room.join(0, 0, 0, Want::Any);
    assert!(!backend.room.is_granted(ticket, Waker::noop()));
    free(server, backend);
    assert!(backend.room.is_granted(ticket, Waker::noop()));
    assert!(!server.try_enter(backend), "it is kept for the one who waited");
    let granted = backend.room.leave(ticket);
    assert!(granted.is_some_and(|granted| Arc::ptr_eq(&granted, server)));
    free(server, backend);
    assert_eq!(server.sessions.now(), 0);
}

/// The same with real threads: whoever waits is woken, and no more are inside than the limit lets in.
#[test]
fn threads_that_come_and_go_are_all_served() {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let (threads, turns, limit) = (4, 2000, 2);
    let backend = BackendState::new("app".into(), 1);
    let server = ServerState::new("app".into(), "s".into(), 1);
    server.set_limit(Limit::new(Some(limit), None, 1));
    server.in_rotation.store(true, Ordering::SeqCst);
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                for _ in 0..turns {
                    if !backend.room.is_empty() || !server.try_enter(&backend) {
                        let ticket = backend.room.join(0, 0, 0, Want::Any);
                        backend.room.offer(&server, || server.try_enter(&backend));
                        while !backend.room.is_granted(ticket, &waker) {
                            std::thread::park();
                        }
                        assert!(backend.room.leave(ticket).is_some());
                    }
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < limit);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    free(&server, &backend);
                }
            });
        }
    });
    assert_eq!(server.sessions.now(), 0);
    assert!(backend.room.is_empty());
}
