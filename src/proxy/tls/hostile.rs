//! What does TLS make of a hostile peer? Bytes as they are, or those of a real peer that are cut, changed, doubled, lost and
//! shuffled on their way. For the fuzz target `tls`.
//!
//! Whatever happens on the way, our end may only hand on what the peer said, in that order, and take its silence for an
//! announced end only when it was one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::task::yield_now;

use super::{RECORD_PLAINTEXT, Session, Tls, accept, connect};
use crate::model::tls::{
    Algorithms, Certificate, ListenerTls, Served, ServerSni, ServerTls, ServerVerify, SessionSettings, Terms, Tickets,
    TlsVersion,
};
use crate::proxy::stream::Plain;
use crate::state::tls::{Acceptance, TlsShared, client_config};

/// How long a conversation in memory may take: one that takes longer goes round in circles.
const PATIENCE: Duration = Duration::from_secs(20);
/// Turns of the event loop in which both sides have done all they can.
const TURNS: usize = 4;
/// Steps taken of one input, and bytes beyond which a peer says no more than one at a time: more would only cost time.
const STEPS_TAKEN: usize = 48;
const TALKATIVE: usize = 128 * 1024;
/// A record in TLS 1.2 with all that may be added to it (RFC 5246 §6.2.3), its header included.
const LONGEST_RECORD: usize = RECORD_PLAINTEXT + 2048 + 5;

/// The first byte of an input. What follows are the bytes of a peer, or with [`STEPS`] two for each step of a real one.
const STEPS: u8 = 1;
const TLS_12: u8 = 2;
/// What the peer says to shake hands passes unharmed.
const GREET: u8 = 4;
/// There was a connection before, and its session is taken up again.
const RESUME: u8 = 8;
/// The pipe between takes few bytes at a time.
const NARROW: u8 = 16;
/// Ours is the client, the peer a server.
const WE_CONNECT: u8 = 32;

thread_local! {
    static ACCEPTANCE: Arc<Acceptance> = acceptance().into();
}

/// The first byte chooses the conversation, the second how much our end reads at a time.
pub(crate) fn fuzz(data: &[u8]) {
    let Some(([mode, room], rest)) = data.split_first_chunk() else { return };
    let config = client(if mode & TLS_12 == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 });
    let room = 1 + usize::from(*room) * usize::from(*room);
    if mode & RESUME != 0 && mode & STEPS != 0 {
        let before = Story { mode: mode | GREET, room, config: Arc::clone(&config) };
        before.told(&[WRITE, 3, GOODBYE, 0]).assert_whole();
    }
    let end = Story { mode: *mode, room, config }.told(rest);
    assert!(end.sent.starts_with(&end.seen), "our end hands on what was not said");
    assert!(end.sent.starts_with(&end.got), "the peer reads what was not said");
    assert!(end.outcome.is_err() || (end.said_goodbye && end.seen == end.sent), "a cut passes for the end");
    if !end.harmed && end.said_goodbye {
        end.assert_whole();
    }
}

struct Story {
    mode: u8,
    /// How much our end reads at a time, in bytes.
    room: usize,
    config: Arc<ClientConfig>,
}

/// What came of a conversation.
#[derive(Debug)]
struct End {
    /// Our end's.
    outcome: io::Result<()>,
    /// What the peer said, what our end handed on of it, and what the peer got back.
    sent: Vec<u8>,
    seen: Vec<u8>,
    got: Vec<u8>,
    said_goodbye: bool,
    /// Something did not arrive as it was sent.
    harmed: bool,
}

impl End {
    fn assert_whole(&self) {
        assert!(self.outcome.is_ok(), "{:?}", self.outcome);
        assert!(self.seen == self.sent && self.got == self.sent, "bytes are lost");
    }
}

impl Story {
    fn has(&self, flag: u8) -> bool {
        self.mode & flag != 0
    }

    fn told(&self, script: &[u8]) -> End {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("an event loop");
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.converse(script)).await.expect("the conversation never ends")
        })
    }

    async fn converse(&self, script: &[u8]) -> End {
        let (near, far) = duplex(if self.has(NARROW) { 1000 } else { 1 << 16 });
        let (reading, writing) = split(far);
        let peer = Peer::new(self.peer());
        let seen = RefCell::default();
        let steps = async {
            if self.has(STEPS) { peer.act(writing, script, self.has(GREET)).await } else { say(writing, script).await }
        };
        let (outcome, _, ()) = tokio::join!(self.our_end(near, &seen), steps, peer.listen(reading));
        End {
            outcome,
            sent: peer.sent.take(),
            seen: seen.take(),
            got: peer.got.take(),
            said_goodbye: peer.said_goodbye.get(),
            harmed: peer.harmed.get() || !self.has(STEPS),
        }
    }

    fn peer(&self) -> Connection {
        if self.has(WE_CONNECT) {
            let config = ACCEPTANCE.with(|acceptance| Arc::clone(&acceptance.usual().config));
            ServerConnection::new(config).expect("a configuration that fits").into()
        } else {
            ClientConnection::new(Arc::clone(&self.config), name()).expect("a configuration that fits").into()
        }
    }

    async fn our_end(&self, near: DuplexStream, seen: &RefCell<Vec<u8>>) -> io::Result<()> {
        let plain = Plain::Memory(near);
        if self.has(WE_CONNECT) {
            return echo(connect(plain, Arc::clone(&self.config), name()).await?, self.room, seen).await;
        }
        let acceptance = ACCEPTANCE.with(Arc::clone);
        echo(accept(plain, &acceptance).await.map_err(io::Error::other)?.tls, self.room, seen).await
    }
}

/// Our end: says back what it reads.
async fn echo<S: Session + Unpin>(mut tls: Tls<S>, room: usize, seen: &RefCell<Vec<u8>>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(room);
    loop {
        buffer.clear();
        let read = poll_fn(|cx| {
            let read = tls.poll_read_into(cx, &mut buffer);
            if read.is_pending() {
                assert_at_rest(&tls);
            }
            read
        });
        if read.await? == 0 {
            break;
        }
        seen.borrow_mut().extend_from_slice(&buffer);
        tls.write_all(&buffer).await?;
        tls.flush().await?;
    }
    tls.shutdown().await?;
    assert!(tls.outgoing.has_no_buffer() && tls.plaintext.has_no_buffer());
    Ok(())
}

/// Nothing more than a part of a record is kept, and what the socket does not take.
fn assert_at_rest<S: Session>(tls: &Tls<S>) {
    for window in [&tls.incoming, &tls.plaintext, &tls.outgoing] {
        assert_eq!(window.is_empty(), window.has_no_buffer(), "an empty buffer is kept");
    }
    assert!(tls.plaintext.is_empty(), "there was something to read");
    assert!(tls.incoming.len() < LONGEST_RECORD, "{} bytes of a record are kept", tls.incoming.len());
}

/// Bytes as they are, and the end.
async fn say(mut writing: WriteHalf<DuplexStream>, bytes: &[u8]) -> io::Result<()> {
    let (front, back) = bytes.split_at(bytes.len() / 2);
    for part in [front, back] {
        writing.write_all(part).await?;
        breathe().await;
    }
    writing.shutdown().await
}

/// Lets the others do all they can.
async fn breathe() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// A step's first byte, modulo their number; the second is its measure.
const WRITE: u8 = 0;
const FLIP: u8 = 1;
const CUT: u8 = 2;
const LOSE: u8 = 3;
const REPEAT: u8 = 4;
const HOLD: u8 = 5;
const SPLIT: u8 = 6;
const INSERT: u8 = 7;
const RELABEL: u8 = 8;
const NEW_KEYS: u8 = 9;
const GOODBYE: u8 = 10;
const STEPS_KNOWN: u8 = 11;

/// A real peer, and what happens to its bytes on their way.
struct Peer {
    session: RefCell<Connection>,
    sent: RefCell<Vec<u8>>,
    got: RefCell<Vec<u8>>,
    said_goodbye: Cell<bool>,
    harmed: Cell<bool>,
}

impl Peer {
    fn new(session: Connection) -> Self {
        Peer {
            session: session.into(),
            sent: RefCell::default(),
            got: RefCell::default(),
            said_goodbye: Cell::new(false),
            harmed: Cell::new(false),
        }
    }

    /// Takes in all that our end says.
    async fn listen(&self, mut reading: ReadHalf<DuplexStream>) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reading.read(&mut buffer).await {
            let mut bytes = &buffer[..count];
            let mut session = self.session.borrow_mut();
            while !bytes.is_empty() && matches!(session.read_tls(&mut bytes), Ok(1..)) {
                if session.process_new_packets().is_err() {
                    break; // Said to our end with the next step.
                }
                let _ = session.reader().read_to_end(&mut self.got.borrow_mut());
            }
        }
    }

    async fn act(&self, mut writing: WriteHalf<DuplexStream>, script: &[u8], greet: bool) -> io::Result<()> {
        if greet || script.is_empty() {
            self.greet(&mut writing).await?;
        }
        let mut held = Vec::new();
        for step in script.chunks_exact(2).take(STEPS_TAKEN) {
            let (kind, measure) = (step[0] % STEPS_KNOWN, step[1]);
            self.say(kind, measure);
            let mut records = self.records();
            if !records.is_empty() {
                let before = records.clone();
                spoil(kind, measure, &mut records, &mut held);
                self.harmed.set(self.harmed.get() || before != records);
            }
            if kind == SPLIT {
                let (front, back) = records.split_at(usize::from(measure).min(records.len()));
                writing.write_all(front).await?;
                breathe().await;
                records = back.to_vec();
            }
            writing.write_all(&records).await?;
            if kind != HOLD {
                writing.write_all(&std::mem::take(&mut held)).await?;
            }
            breathe().await;
        }
        // Whoever was asked to shake hands, or for new keys, answers.
        self.greet(&mut writing).await?;
        writing.shutdown().await
    }

    /// Shakes hands as far as our end goes along.
    async fn greet(&self, writing: &mut WriteHalf<DuplexStream>) -> io::Result<()> {
        for _ in 0..8 {
            writing.write_all(&self.records()).await?;
            breathe().await;
        }
        Ok(())
    }

    /// What the peer has to say now, as plaintext.
    fn say(&self, kind: u8, measure: u8) {
        let mut session = self.session.borrow_mut();
        if session.is_handshaking() || self.said_goodbye.get() {
            return;
        }
        if kind == NEW_KEYS {
            let _ = session.refresh_traffic_keys(); // only TLS 1.3 has them
        }
        if kind == GOODBYE {
            session.send_close_notify();
            self.said_goodbye.set(true);
            return;
        }
        let mut sent = self.sent.borrow_mut();
        let length = if sent.len() < TALKATIVE { usize::from(measure) * usize::from(measure) } else { 0 };
        let data = vec![sent.len() as u8; 1 + length];
        let taken = session.writer().write(&data).unwrap_or(0);
        sent.extend_from_slice(&data[..taken]);
    }

    /// What the peer has to say now, as records.
    fn records(&self) -> Vec<u8> {
        let mut session = self.session.borrow_mut();
        let mut records = Vec::new();
        while session.wants_write() && matches!(session.write_tls(&mut records), Ok(1..)) {}
        records
    }
}

/// What happens to some of the peer's records on their way; `held` waits for later ones.
fn spoil(kind: u8, measure: u8, records: &mut Vec<u8>, held: &mut Vec<u8>) {
    let at = usize::from(measure) % records.len();
    match kind {
        FLIP => records[at] ^= 1 << (measure % 8),
        CUT => records.truncate(records.len() - 1 - at),
        LOSE => records.clear(),
        REPEAT => records.extend_from_within(..),
        HOLD => held.append(records),
        INSERT => {
            // An empty or a short record of any kind.
            let record = [20 + measure % 5, 3, 3, 0, 2, 1, measure / 5];
            records.splice(0..0, record);
        }
        RELABEL => {
            let header = [0, 1, 3, 4][usize::from(measure) % 4]; // kind, version, length (RFC 8446 §5.1)
            if let Some(byte) = records.get_mut(header) {
                *byte = byte.wrapping_add(1 + measure / 4);
            }
        }
        _ => {}
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("a.example").expect("a name")
}

fn client(version: TlsVersion) -> Arc<ClientConfig> {
    client_config(&ServerTls {
        verify: ServerVerify::None,
        sni: Some(ServerSni::Fixed("a.example".into())),
        verify_host: None,
        alpn: Vec::new(),
        min_version: TlsVersion::Tls12,
        max_version: version,
        algorithms: Algorithms::default(),
        certificate: None,
        resume: true,
    })
}

fn acceptance() -> Acceptance {
    let terms = Terms {
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        algorithms: Algorithms::default(),
        client: None,
    };
    let listener = ListenerTls {
        certificates: vec![Served::from(certificate())],
        strict_sni: false,
        terms: Arc::new(terms),
        tickets: Tickets::Own,
    };
    let shared = TlsShared::new(SessionSettings::default(), std::time::Instant::now()).expect("keys for tickets");
    Acceptance::new(&listener, &shared)
}

fn certificate() -> Arc<Certificate> {
    let names = vec!["a.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names.clone()).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider).expect("a key that fits");
    let hour = Duration::from_secs(3600);
    Arc::new(Certificate {
        path: "made for a test".into(),
        files: Vec::new(),
        staple_until: None,
        key: Arc::new(key),
        names,
        not_before: SystemTime::now() - hour,
        not_after: SystemTime::now() + hour,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mode: u8, script: &[u8], whole: bool, refused: Option<&str>) {
        for version in [0, TLS_12] {
            let mode = STEPS | mode | version;
            let config = client(if version == 0 { TlsVersion::Tls13 } else { TlsVersion::Tls12 });
            let end = Story { mode, room: 100, config }.told(script);
            let why = end.outcome.as_ref().err().map(ToString::to_string);
            assert_eq!((!end.harmed, why.as_deref()), (whole, refused), "{mode} {end:?}");
            assert!(end.sent.starts_with(&end.seen));
            if refused.is_none() {
                end.assert_whole();
                assert!(end.seen.len() > 50);
            }
        }
    }

    /// The rig is worth nothing when bytes do not arrive, or harm goes unnoticed.
    #[test]
    fn what_is_let_alone_arrives_and_what_is_harmed_is_refused() {
        for side in [0, WE_CONNECT] {
            check(side | GREET, &[WRITE, 10, SPLIT, 30, NEW_KEYS, 4, GOODBYE, 0], true, None);
            check(side | NARROW, &[WRITE, 0, WRITE, 0, WRITE, 0, WRITE, 250, GOODBYE, 0], true, None);
            check(side | GREET, &[WRITE, 10, WRITE, 1], true, Some("unexpected end of file"));
            for harm in [FLIP, LOSE, REPEAT, HOLD] {
                let script = [WRITE, 10, harm, 20, WRITE, 5, GOODBYE, 0];
                check(side | GREET, &script, false, Some("cannot decrypt peer's message"));
            }
        }
    }
}
