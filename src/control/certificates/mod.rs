//! Who notices that a certificate was renewed on disk, or is about to expire?
//!
//! Every `crt-watch` the files of all certificates are looked at, on a thread that sees and may what the process could at
//! its start: a jail and given up privileges do not matter. What has changed and settled is read there too; only a
//! certificate that can be served takes the place of the one before, and workers serve it from the next handshake on. All
//! else stays as it is: which files there are is for the configuration to say, so a new one needs a reload.

mod changes;
mod expiry;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::changes::{Changes, Next};
use self::expiry::{Expiry, Left};
use super::controller::{Controller, Event};
use super::wording;
use crate::config::{ReadAgain, load_again, look_at};
use crate::model::log::Level;
use crate::model::tls::{Certificate, OwnCertificate, SeenFile};

/// How often certificates are held against the calendar.
const EXPIRY_LOOK: Duration = Duration::from_secs(60);
/// What is closer than this is told with its time of day.
const CLOSE: Duration = Duration::from_secs(2 * 86_400);
/// How often there is time to look.
const TICK: Duration = Duration::from_secs(1);

/// Runs a piece of work as and where the process was started: with the rights of then, outside of the jail.
pub(crate) type AsAtStart = Arc<dyn Fn(&mut (dyn FnMut() + Send)) -> io::Result<()> + Send + Sync>;

/// What the watch keeps.
pub(in crate::control) struct CertificateWatch {
    pub as_at_start: AsAtStart,
    changes: Changes,
    expiry: Expiry,
    /// A look or a reading is on its way.
    busy: bool,
    next_look: Instant,
    next_expiry: Instant,
    /// Why looking fails, told once.
    broken: bool,
    /// Certificates replaced since the start.
    pub renewals: u64,
}

/// What a look or a reading came to.
pub(crate) enum News {
    Seen(io::Result<Vec<SeenCertificate>>),
    Read(io::Result<Vec<ReadCertificate>>),
}

pub(crate) struct SeenCertificate {
    path: PathBuf,
    in_force: Vec<SeenFile>,
    now: Vec<SeenFile>,
}

pub(crate) struct ReadCertificate {
    path: PathBuf,
    /// Or what is wrong.
    read: Result<ReadAgain, String>,
}

impl CertificateWatch {
    pub fn new(now: Instant) -> Self {
        CertificateWatch {
            as_at_start: Arc::new(|work| {
                work();
                Ok(())
            }),
            changes: Changes::default(),
            expiry: Expiry::default(),
            busy: false,
            next_look: now,
            next_expiry: now,
            broken: false,
            renewals: 0,
        }
    }
}

impl Controller {
    /// How files are read once privileges are given up.
    #[must_use]
    pub fn reading_as_at_start(mut self, as_at_start: AsAtStart) -> Self {
        self.certificates.as_at_start = as_at_start;
        self
    }

    /// Once a second.
    pub(in crate::control) fn tick_certificates(&mut self, now: Instant) {
        if now >= self.certificates.next_expiry {
            self.certificates.next_expiry = now + EXPIRY_LOOK;
            self.tell_expiry();
        }
        let watched = self.watch.snapshot.config.global.certificate_watch.is_some();
        // Ticks come about once a second; half of one early is on time.
        let due = now + TICK / 2 >= self.certificates.next_look;
        if watched && due && !self.certificates.busy && self.ending.is_none() {
            self.look_at_certificates(now);
        }
    }

    /// Those that listeners serve and that servers are shown, each file once.
    pub(in crate::control) fn certificates_in_force(&self) -> Vec<Arc<Certificate>> {
        let listeners = self.watch.snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let served = listeners.flat_map(|tls| tls.certificates());
        let shown = self.own_certificates().map(|own| own.0.load_full()).collect::<Vec<_>>();
        let mut found: Vec<Arc<Certificate>> = Vec::new();
        for certificate in served.chain(shown) {
            if !found.iter().any(|known| known.path == certificate.path) {
                found.push(certificate);
            }
        }
        found
    }

    /// Who gets to see one of them.
    fn use_of(&self, path: &Path) -> Use {
        let listeners = self.watch.snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let served = listeners.flat_map(|tls| tls.certificates()).any(|served| served.path == path);
        let shown = self.own_certificates().any(|own| own.0.load().path == path);
        match (served, shown) {
            (true, true) => Use::Both,
            (false, true) => Use::Shown,
            (_, false) => Use::Served,
        }
    }

    /// Ours towards servers, in traffic and in checks.
    fn own_certificates(&self) -> impl Iterator<Item = &Arc<OwnCertificate>> {
        let servers = self.watch.snapshot.config.backends.iter().flat_map(|backend| &backend.servers);
        servers
            .flat_map(|server| [server.tls.as_ref(), server.check.as_ref().and_then(|check| check.tls.as_ref())])
            .flatten()
            .filter_map(|tls| tls.certificate.as_ref())
    }

    fn look_at_certificates(&mut self, now: Instant) {
        let in_force = self.certificates_in_force();
        let served = |path: &Path| in_force.iter().any(|certificate| certificate.path == path);
        self.certificates.changes.keep_only(served);
        self.certificates.expiry.keep_only(served);
        let every = self.watch.snapshot.config.global.certificate_watch.unwrap_or(TICK);
        self.certificates.next_look = now + every;
        if in_force.is_empty() {
            return;
        }
        self.aside(
            move || {
                let look = |certificate: &Arc<Certificate>| SeenCertificate {
                    path: certificate.path.clone(),
                    in_force: certificate.files.iter().map(|file| file.seen).collect(),
                    now: certificate.files.iter().map(|file| look_at(&file.path)).collect(),
                };
                in_force.iter().map(look).collect()
            },
            News::Seen,
        );
    }

    /// Runs `work` as at the start, on a thread of its own; the news come back as an event.
    fn aside<T: Send + 'static>(
        &mut self,
        mut work: impl FnMut() -> T + Send + 'static,
        news: impl FnOnce(io::Result<T>) -> News + 'static,
    ) {
        self.certificates.busy = true;
        let as_at_start = Arc::clone(&self.certificates.as_at_start);
        let events = self.events.clone();
        tokio::task::spawn_local(async move {
            let done = tokio::task::spawn_blocking(move || {
                let mut done = None;
                as_at_start(&mut || done = Some(work()))?;
                done.ok_or_else(|| io::Error::other("nothing was done"))
            });
            let done = done.await.unwrap_or_else(|_| Err(io::Error::other("reading certificates panicked")));
            // Nobody left to tell means the process is ending.
            let _ = events.send(Event::Certificates(news(done))).await;
        });
    }

    /// Takes in what a look or a reading came to.
    pub(in crate::control) fn take_certificates(&mut self, news: News, now: Instant) {
        self.certificates.busy = false;
        match news {
            News::Seen(Ok(seen)) => {
                self.certificates.broken = false;
                self.decide(seen, now);
            }
            News::Read(Ok(read)) => {
                for ReadCertificate { path, read } in read {
                    match read {
                        Ok(read) => self.renew(&read),
                        Err(why) => self.refuse(&path, &why),
                    }
                }
            }
            News::Seen(Err(error)) | News::Read(Err(error)) => self.tell_broken(&error),
        }
    }

    fn decide(&mut self, seen: Vec<SeenCertificate>, now: Instant) {
        let mut settled = Vec::new();
        for SeenCertificate { path, in_force, now: files } in seen {
            match self.certificates.changes.look(&path, &in_force, &files, now) {
                Next::Nothing => {}
                Next::Wait => {
                    self.certificates.next_look = self.certificates.next_look.min(now + TICK);
                }
                Next::Read => settled.push(path),
            }
        }
        if !settled.is_empty() {
            self.aside(
                move || {
                    let again = |path: &PathBuf| ReadCertificate {
                        path: path.clone(),
                        read: load_again(path, SystemTime::now()),
                    };
                    settled.iter().map(again).collect()
                },
                News::Read,
            );
        }
    }

    /// Puts a certificate in the place of the one before it.
    fn renew(&mut self, read: &ReadAgain) {
        let renewed = &read.certificate;
        let before = self.certificates_in_force().into_iter().find(|known| known.path == renewed.path);
        let Some(before) = before else { return }; // a reload took it away meanwhile
        let wall = SystemTime::now();
        if renewed.not_after <= wall && before.not_after > wall {
            self.refuse(&renewed.path, &format!("`{}`: it has expired already", renewed.path.display()));
            return;
        }
        let same_chain = before.key.cert == renewed.key.cert;
        if let (true, Some(_), Some(why)) = (same_chain, &before.key.ocsp, &read.bad_answer) {
            self.certificates.changes.refuse(&renewed.path);
            // Until it runs out.
            let text = format!("changed OCSP answer not taken, the one before stays stapled: {why}");
            self.log_of_process(Level::Err, &text);
            return;
        }
        for tls in self.watch.snapshot.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
            tls.renew(renewed);
        }
        for own in self.own_certificates().filter(|own| own.0.load().path == renewed.path) {
            own.0.store(Arc::clone(renewed));
        }
        if same_chain && before.key.ocsp == renewed.key.ocsp {
            return; // touched, or copied over itself
        }
        self.certificates.renewals += 1;
        self.log_of_process(Level::Notice, &what_is_new(renewed, same_chain, self.use_of(&renewed.path), wall));
        for warning in &read.warnings {
            self.log_of_process(Level::Warning, warning);
        }
        self.certificates.next_expiry = Instant::now();
    }

    /// Says once that what stands on disk cannot be served.
    fn refuse(&mut self, path: &Path, why: &str) {
        self.certificates.changes.refuse(path);
        self.log_of_process(
            Level::Err,
            &format!("changed certificate not taken, the one before stays in force: {why}"),
        );
    }

    fn tell_broken(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.certificates.broken, true) {
            let text = format!("certificates on disk cannot be watched, renewed ones need a reload: {error}");
            self.log_of_process(Level::Warning, &text);
        }
    }

    fn tell_expiry(&mut self) {
        let now = SystemTime::now();
        for certificate in self.certificates_in_force() {
            let path = certificate.path.display();
            let names = certificate.names.first().map(|name| format!(" for {name}")).unwrap_or_default();
            let until = moment(certificate.not_after, now);
            let peers = match self.use_of(&certificate.path) {
                Use::Served | Use::Both => "clients",
                Use::Shown => "servers",
            };
            if self.certificates.expiry.not_valid_yet(&certificate.path, certificate.not_before, now) {
                let from = moment(certificate.not_before, now);
                let text = format!("certificate `{path}`{names} is not valid before {from}: {peers} refuse it");
                self.log_of_process(Level::Warning, &text);
            }
            match self.certificates.expiry.due(&certificate.path, certificate.not_after, now) {
                None => {}
                Some(Left::Expired) => {
                    let text = format!("certificate `{path}`{names} has expired on {until}: {peers} refuse it");
                    self.log_of_process(Level::Alert, &text);
                }
                Some(Left::Days(days)) => {
                    let left = wording::in_days(days);
                    let text = format!("certificate `{path}`{names} expires {left}, on {until}");
                    self.log_of_process(if days <= 1 { Level::Alert } else { Level::Warning }, &text);
                }
            }
            if let Some(until) = certificate.staple_until
                && self.certificates.expiry.answer_ran_out(&certificate.path, until, now)
            {
                let text = format!(
                    "OCSP answer in `{path}.ocsp`{names} has run out: none is stapled until there is a new one"
                );
                self.log_of_process(Level::Warning, &text);
            }
        }
    }
}

/// Who gets to see a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Clients.
    Served,
    /// Servers.
    Shown,
    Both,
}

fn what_is_new(renewed: &Certificate, same_chain: bool, seen_by: Use, now: SystemTime) -> String {
    let names = renewed.names.first().map(|name| format!(" for {name}")).unwrap_or_default();
    let path = renewed.path.display();
    match (same_chain, &renewed.key.ocsp) {
        (false, _) => {
            let done = match seen_by {
                Use::Served => "served",
                Use::Shown => "shown to servers",
                Use::Both => "served, and shown to servers",
            };
            let until = moment(renewed.not_after, now);
            format!("new certificate in `{path}`{names} is {done}, good until {until}")
        }
        (true, Some(_)) => {
            let until = renewed.staple_until.map(|until| format!(", good until {}", moment(until, now)));
            let until = until.unwrap_or_default();
            format!("new OCSP answer in `{path}.ocsp`{names} is stapled{until}")
        }
        (true, None) => format!("OCSP answer in `{path}.ocsp`{names} is gone: none is stapled"),
    }
}

/// `2026-11-20`, in UTC; `2026-11-20 09:05 UTC` when that is less than [`CLOSE`] away.
fn moment(at: SystemTime, now: SystemTime) -> String {
    let distance = at.duration_since(now).unwrap_or_else(|before| before.duration());
    let at = time::OffsetDateTime::from(at);
    let (date, time) = (at.date(), at.time());
    let day = format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day());
    if distance < CLOSE { format!("{day} {:02}:{:02} UTC", time.hour(), time.minute()) } else { day }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_is_told_when_it_is_close() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_029_500);
        for (now, expected) in [
            (at - CLOSE, "2026-11-30"),
            (at - CLOSE / 2, "2026-11-30 09:05 UTC"),
            (at + CLOSE / 2, "2026-11-30 09:05 UTC"),
            (at + CLOSE, "2026-11-30"),
        ] {
            assert_eq!(moment(at, now), expected);
        }
    }

    #[test]
    fn who_sees_a_new_certificate_is_told() {
        let certificate = crate::state::tls::testing::certificate(&["a.test"]);
        let told = |seen_by| what_is_new(&certificate, false, seen_by, certificate.not_after - CLOSE);
        assert!(
            told(Use::Served).starts_with("new certificate in `made for a test` for a.test is served, good until ")
        );
        assert!(told(Use::Shown).contains(" is shown to servers, good until "));
    }
}
