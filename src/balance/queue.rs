//! Who is next when servers are full? Pure: the requests of one backend that wait for a slot, and whose turn it is when a
//! server has one to give.
//!
//! Requests wait for any server, or for one alone (HAProxy manual 4.2 `timeout queue`, 5.2 `maxqueue`): those that must
//! go where an earlier one went. A freed slot goes to whoever is first among both, by class, then by the time it came,
//! moved by its offset (`http-request set-priority-class`, `set-priority-offset`). A slot is handed over, not
//! announced: nobody who came later can take it on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One server over all configurations, as `state` numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServerKey(pub u64);

/// A request's place: what is smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket {
    class: i16,
    /// When it came, in milliseconds of the process clock, its offset added.
    at_ms: i64,
    /// Those of one moment go in the order they came.
    number: u64,
}

/// What a waiting request would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Any,
    Only(ServerKey),
}

/// How a waiting request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting(Want),
    /// A slot of this server is kept for it.
    Granted(ServerKey),
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    any: BTreeSet<Ticket>,
    only: HashMap<ServerKey, BTreeSet<Ticket>>,
    standing: BTreeMap<Ticket, Standing>,
    /// How many each line has served since somebody began to wait in it.
    served_any: u64,
    served_only: HashMap<ServerKey, u64>,
    /// What its line had served when it joined; once it is granted, its place.
    marks: HashMap<Ticket, u64>,
    next_number: u64,
}

impl Queue {
    /// Joins at `now_ms`. Whoever joined is [`Self::offer`]ed slots until it takes one or leaves.
    pub fn join(&mut self, now_ms: i64, class: i16, offset_ms: i32, want: Want) -> Ticket {
        let ticket = Ticket { class, at_ms: now_ms + i64::from(offset_ms), number: self.next_number };
        self.next_number += 1;
        self.put(ticket, want);
        ticket
    }

    fn put(&mut self, ticket: Ticket, want: Want) {
        self.standing.insert(ticket, Standing::Waiting(want));
        self.marks.insert(ticket, self.served(want));
        self.line(want).insert(ticket);
    }

    fn served(&self, want: Want) -> u64 {
        match want {
            Want::Any => self.served_any,
            Want::Only(server) => self.served_only.get(&server).copied().unwrap_or(0),
        }
    }

    /// How manieth of its line it is to be served since it came, from 1: those that were let go first count, those that
    /// left do not (HAProxy manual 8.2.3, `srv_queue`, `backend_queue`).
    pub fn place(&self, ticket: Ticket) -> u64 {
        let mark = self.marks.get(&ticket).copied().unwrap_or(0);
        match self.standing.get(&ticket) {
            Some(Standing::Waiting(want)) => self.served(*want).saturating_sub(mark) + 1,
            Some(Standing::Granted(_)) => mark,
            None => 0,
        }
    }

    fn line(&mut self, want: Want) -> &mut BTreeSet<Ticket> {
        match want {
            Want::Any => &mut self.any,
            Want::Only(server) => self.only.entry(server).or_default(),
        }
    }

    /// Requests that wait for this one alone.
    pub fn waiting_for(&self, server: ServerKey) -> usize {
        self.only.get(&server).map_or(0, BTreeSet::len)
    }

    /// Who would get a slot of this server.
    pub fn first_for(&self, server: ServerKey) -> Option<Ticket> {
        let any = self.any.first().copied();
        let own = self.only.get(&server).and_then(BTreeSet::first).copied();
        any.into_iter().chain(own).min()
    }

    /// Hands a slot of this server over, which the caller has taken from it.
    pub fn grant(&mut self, ticket: Ticket, server: ServerKey) {
        self.marks.insert(ticket, self.place(ticket));
        match self.standing.get(&ticket) {
            Some(Standing::Waiting(Want::Any)) => self.served_any += 1,
            Some(Standing::Waiting(Want::Only(own))) => *self.served_only.entry(*own).or_default() += 1,
            _ => {}
        }
        self.unline(ticket);
        self.standing.insert(ticket, Standing::Granted(server));
    }

    /// Takes a ticket out of its line.
    fn unline(&mut self, ticket: Ticket) {
        match self.standing.get(&ticket).copied() {
            Some(Standing::Waiting(Want::Any)) => {
                self.any.remove(&ticket);
            }
            Some(Standing::Waiting(Want::Only(server))) => {
                if let Some(line) = self.only.get_mut(&server) {
                    line.remove(&ticket);
                    if line.is_empty() {
                        self.only.remove(&server);
                        self.served_only.remove(&server);
                    }
                }
            }
            Some(Standing::Granted(_)) | None => {}
        }
    }

    pub fn standing(&self, ticket: Ticket) -> Option<Standing> {
        self.standing.get(&ticket).copied()
    }

    /// Leaves, served or not. A slot that was granted is the caller's to use or to give back.
    #[must_use = "a granted slot would be lost"]
    pub fn leave(&mut self, ticket: Ticket) -> Option<ServerKey> {
        self.unline(ticket);
        self.marks.remove(&ticket);
        match self.standing.remove(&ticket) {
            Some(Standing::Granted(server)) => Some(server),
            Some(Standing::Waiting(_)) | None => None,
        }
    }

    /// Takes its old place again: the granted slot was of no use to it.
    pub fn rejoin(&mut self, ticket: Ticket, want: Want) {
        self.put(ticket, want);
    }

    /// A server takes no traffic any more: who waits for it alone waits for any, at the place it has.
    pub fn forget(&mut self, server: ServerKey) {
        self.served_only.remove(&server);
        for ticket in self.only.remove(&server).unwrap_or_default() {
            self.put(ticket, Want::Any);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerKey = ServerKey(1);
    const B: ServerKey = ServerKey(2);

    /// Requests as `name:class:offset:want` join one per millisecond; servers then give slots in the order of `slots`.
    #[track_caller]
    fn check(requests: &[(&str, i16, i32, Want)], slots: &[ServerKey], expected: &str) {
        let mut queue = Queue::default();
        let mut names = HashMap::new();
        for (at, (name, class, offset, want)) in requests.iter().enumerate() {
            names.insert(queue.join(at as i64, *class, *offset, *want), *name);
        }
        let mut order = String::new();
        for server in slots {
            match queue.first_for(*server) {
                Some(ticket) => {
                    queue.grant(ticket, *server);
                    assert_eq!(queue.leave(ticket), Some(*server));
                    order.push_str(names[&ticket]);
                }
                None => order.push('-'),
            }
        }
        assert_eq!(order, expected);
    }

    #[test]
    fn the_place_counts_those_who_were_let_go_first() {
        let mut queue = Queue::default();
        let tickets = [0, 0, 0, -1].map(|class| queue.join(0, class, 0, Want::Any));
        let places = |queue: &Queue| tickets.map(|ticket| queue.place(ticket));
        assert_eq!(places(&queue), [1, 1, 1, 1]);
        queue.grant(tickets[3], A);
        assert_eq!(places(&queue), [2, 2, 2, 1]);
        assert_eq!(queue.leave(tickets[1]), None);
        queue.grant(tickets[0], B);
        assert_eq!(places(&queue), [2, 0, 3, 1]);
        for ticket in tickets {
            let _ = queue.leave(ticket);
        }
        assert!(queue.marks.is_empty() && queue.standing.is_empty());
        let alone = queue.join(9, 0, 0, Want::Only(A));
        assert_eq!(queue.place(alone), 1);
    }

    #[test]
    fn slots_go_by_class_then_time_with_offset_then_arrival() {
        use Want::{Any, Only};
        check(&[("a", 0, 0, Any), ("b", 0, 0, Any), ("c", 0, 0, Any)], &[A, A, B, B], "abc-");
        check(&[("a", 0, 0, Any), ("b", -1, 0, Any), ("c", 1, 0, Any)], &[A, A, A], "bac");
        check(&[("a", 0, 100, Any), ("b", 0, 0, Any), ("c", 0, -50, Any)], &[A, A, A], "cba");
        check(&[("a", 0, 2, Any), ("b", 0, 1, Any), ("c", 0, 0, Any)], &[A, A, A], "abc"); // of one moment
        check(&[("a", 0, 0, Only(A)), ("b", 0, 0, Any), ("c", 0, 0, Only(B))], &[B, B, B, A], "bc-a");
        check(&[("a", 0, 0, Any), ("b", -9, 0, Only(A))], &[A, B], "ba");
    }

    #[test]
    fn a_server_that_goes_leaves_its_own_line_to_the_others() {
        let mut queue = Queue::default();
        let first = queue.join(0, 0, 0, Want::Only(A));
        let second = queue.join(1, 0, 0, Want::Any);
        assert_eq!((queue.first_for(B), queue.waiting_for(A)), (Some(second), 1));
        queue.forget(A);
        assert_eq!((queue.first_for(B), queue.waiting_for(A), queue.any.len()), (Some(first), 0, 2));
    }

    #[test]
    fn who_leaves_gives_its_slot_back_and_may_come_back_to_its_place() {
        let mut queue = Queue::default();
        let first = queue.join(0, 0, 0, Want::Any);
        let second = queue.join(1, 0, 0, Want::Any);
        queue.grant(first, A);
        assert_eq!(queue.leave(first), Some(A));
        assert_eq!(queue.first_for(A), Some(second));
        queue.rejoin(first, Want::Any);
        assert_eq!(queue.first_for(A), Some(first));
        assert_eq!((queue.leave(first), queue.leave(second)), (None, None));
        assert!(queue.standing.is_empty() && queue.any.is_empty() && queue.only.is_empty());
    }
}
