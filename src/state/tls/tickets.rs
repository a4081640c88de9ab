//! How do clients take their sessions up again, with whichever worker, after a reload too?
//!
//! A session lives in a ticket the client keeps, sealed with a key of the process: all workers have it, reloads do not
//! change it, and it is replaced every [`SessionSettings::lifetime`]; the one before still opens tickets, then it is
//! forgotten, and with it what could betray recorded traffic (RFC 8446 §8.1, §C.4). Clients without tickets find their
//! session in a memory of bounded size.
//!
//! A session holds that its client was verified. So that it cannot be taken up where other certificates are asked for,
//! what is asked for is sealed in as well: see [`Ticketer::context`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use super::provider;
use crate::model::tls::{SessionSettings, TicketFile};

const NAME: usize = 16;
const NONCE: usize = 12;
/// What derived keys are for, so that the same secret used elsewhere betrays nothing.
const PURPOSE: &[u8] = b"lockgate session tickets";
/// A digest of how clients are verified; all zeroes where they are not.
pub(super) type VerifyContext = [u8; 32];

/// What all listeners of the process share over reloads: a client keeps its session when the configuration changes, and
/// may go on with another worker than the one it began with.
#[derive(Clone)]
pub(crate) struct TlsShared {
    ring: Arc<ArcSwap<Ring>>,
    /// `None`: nothing is remembered here.
    memory: Option<Arc<ServerSessionMemoryCache>>,
    lifetime: Duration,
}

/// Why there are no ticket keys: the system gave no random bytes.
#[derive(Debug)]
pub(crate) struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl TlsShared {
    /// # Errors
    /// [`NoRandomness`].
    pub fn new(settings: SessionSettings, now: Instant) -> Result<Self, NoRandomness> {
        let memory = (settings.remembered > 0).then(|| ServerSessionMemoryCache::new(settings.remembered));
        let ring = Ring { making: fresh()?, taking: Vec::new(), since: Some(now) };
        Ok(TlsShared { ring: Arc::new(ArcSwap::from_pointee(ring)), memory, lifetime: settings.lifetime })
    }

    /// Goes over to what a new configuration says; keys and remembered sessions stay.
    pub fn follow(&mut self, settings: SessionSettings) {
        self.lifetime = settings.lifetime;
    }

    /// Makes a new key when the one in use has served its time. Without randomness the old one goes on.
    pub fn rotate(&self, now: Instant) {
        let ring = self.ring.load();
        let due = ring.since.is_some_and(|since| now.saturating_duration_since(since) >= self.lifetime);
        if let (true, Ok(making)) = (due, fresh()) {
            let taking = vec![Arc::clone(&ring.making)];
            self.ring.store(Arc::new(Ring { making, taking, since: Some(now) }));
        }
    }

    pub(super) fn own_tickets(&self, context: VerifyContext) -> Arc<dyn ProducesTickets> {
        Arc::new(Ticketer { ring: Arc::clone(&self.ring), context, lifetime: self.lifetime })
    }

    /// With the keys of a file, which only change with it.
    pub(super) fn tickets_of(&self, file: &TicketFile, context: VerifyContext) -> Arc<dyn ProducesTickets> {
        let keys: Vec<Arc<TicketKey>> = file.secrets.iter().map(|secret| Arc::new(TicketKey::of(secret))).collect();
        match keys.get(file.making).cloned() {
            Some(making) => {
                let ring = Ring { making, taking: keys, since: None };
                Arc::new(Ticketer { ring: Arc::new(ArcSwap::from_pointee(ring)), context, lifetime: self.lifetime })
            }
            None => self.own_tickets(context),
        }
    }

    pub(super) fn memory(&self, context: VerifyContext) -> Arc<dyn StoresServerSessions> {
        match &self.memory {
            Some(memory) => Arc::new(Memory { sessions: Arc::clone(memory), context }),
            None => Arc::new(NoServerSessionStorage {}),
        }
    }
}

impl fmt::Debug for TlsShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsShared").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The keys in force.
struct Ring {
    making: Arc<TicketKey>,
    /// Those that open tickets besides.
    taking: Vec<Arc<TicketKey>>,
    /// When `making` was made; `None` when it came from a file.
    since: Option<Instant>,
}

struct TicketKey {
    /// Stands in front of its tickets, so that the right key is tried and no other.
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

fn fresh() -> Result<Arc<TicketKey>, NoRandomness> {
    let mut secret = [0; 48];
    provider().secure_random.fill(&mut secret).map_err(|_| NoRandomness)?;
    Ok(Arc::new(TicketKey::of(&secret)))
}

impl TicketKey {
    /// The same secret makes the same key, in every process.
    fn of(secret: &[u8]) -> Self {
        let expand = |what: &[u8], out: &mut [u8]| {
            let length = Length(out.len());
            let secret = Salt::new(HKDF_SHA256, PURPOSE).extract(secret);
            // Cannot fail for so few bytes (RFC 5869 §2.3).
            secret.expand(&[what], length).and_then(|okm| okm.fill(out)).expect("a few bytes can be derived");
        };
        let (mut name, mut key) = ([0; NAME], [0; 32]);
        expand(b"name", &mut name);
        expand(b"key", &mut key);
        TicketKey { name, key: RandomizedNonceKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes") }
    }
}

struct Length(usize);

impl aws_lc_rs::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// One listener's way to the keys.
struct Ticketer {
    ring: Arc<ArcSwap<Ring>>,
    /// How clients are verified here: sealed in, so that a ticket opens only where the same is asked for.
    context: VerifyContext,
    lifetime: Duration,
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    /// `name ‖ nonce ‖ sealed`
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.ring.load();
        let key = &ring.making;
        let mut sealed = plain.to_vec();
        let nonce = key.key.seal_in_place_append_tag(Aad::from(self.context), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE + sealed.len());
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let ring = self.ring.load();
        // The names are no secret.
        let key = std::iter::once(&ring.making).chain(&ring.taking).find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = key.key.open_in_place(nonce, Aad::from(self.context), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// One listener's view of the memory of sessions.
struct Memory {
    sessions: Arc<ServerSessionMemoryCache>,
    context: VerifyContext,
}

impl Memory {
    fn key(&self, id: &[u8]) -> Vec<u8> {
        [&self.context[..], id].concat()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl StoresServerSessions for Memory {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        self.sessions.put(self.key(&id), session)
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(&self.key(id))
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.sessions.take(&self.key(id))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn shared(now: Instant) -> TlsShared {
        TlsShared::new(SessionSettings { lifetime: HOUR, remembered: 10 }, now).unwrap()
    }

    #[test]
    fn a_ticket_opens_for_one_to_two_lifetimes() {
        let start = Instant::now();
        let shared = shared(start);
        let tickets = shared.own_tickets([0; 32]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for (after, opens) in [(HOUR / 2, true), (HOUR, true), (HOUR * 3 / 2, true), (HOUR * 2, false)] {
            shared.rotate(start + after);
            assert_eq!(tickets.decrypt(&ticket).is_some(), opens, "{after:?}");
        }
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn a_ticket_opens_only_where_clients_are_verified_alike() {
        let shared = shared(Instant::now());
        let ticket = shared.own_tickets([0; 32]).encrypt(b"session").unwrap();
        assert!(shared.own_tickets([0; 32]).decrypt(&ticket).is_some());
        assert!(shared.own_tickets([1; 32]).decrypt(&ticket).is_none());
        let (here, there) = (shared.memory([0; 32]), shared.memory([1; 32]));
        here.put(b"id".to_vec(), b"session".to_vec());
        assert!(here.get(b"id").is_some());
        assert!(there.get(b"id").is_none() && there.take(b"id").is_none());
    }

    #[test]
    fn keys_of_a_file_are_shared_by_processes_and_the_last_but_one_makes_tickets() {
        let secret = |byte| vec![byte; 48];
        let file = |secrets: &[u8], making| TicketFile {
            path: "keys".into(),
            secrets: secrets.iter().map(|byte| secret(*byte)).collect(),
            making,
        };
        let here = shared(Instant::now()).tickets_of(&file(&[1, 2, 3], 1), [0; 32]);
        let ticket = here.encrypt(b"session").unwrap();
        for (secrets, opens) in [(&[1, 2, 3], true), (&[2, 3, 4], true), (&[3, 4, 5], false)] {
            let there = shared(Instant::now()).tickets_of(&file(secrets, 1), [0; 32]);
            assert_eq!(there.decrypt(&ticket).is_some(), opens, "{secrets:?}");
        }
    }

    #[test]
    fn what_is_no_ticket_opens_nothing() {
        let tickets = shared(Instant::now()).own_tickets([0; 32]);
        let ticket = tickets.encrypt(b"session").unwrap();
        for length in 0..ticket.len() {
            assert!(tickets.decrypt(&ticket[..length]).is_none(), "{length}");
        }
        for index in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[index] ^= 1;
            assert!(tickets.decrypt(&bent).is_none(), "{index}");
        }
    }
}
