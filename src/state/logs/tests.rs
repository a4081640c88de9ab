//! The sinks with real files and sockets.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::*;
use crate::model::log::{Facility, LogFraming};

fn target(address: LogAddress) -> LogTarget {
    LogTarget {
        address,
        framing: LogFraming::Short,
        facility: Facility(16),
        level: Level::Info,
        min_level: Level::Emerg,
        max_len: 1024,
    }
}

fn open(targets: &[LogTarget]) -> Arc<LogSinks> {
    LogSinks::open(targets, &LogIdentity { hostname: None, tag: "lockgate".to_string(), pid: 7 })
}

/// A directory of its own for one test.
fn directory(test: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("lockgate-logs-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[test]
fn writes_lines_in_order_and_filters_by_level() {
    let path = directory("order").join("log");
    let mut capped = target(LogAddress::File(path.clone()));
    capped.min_level = Level::Warning;
    capped.level = Level::Notice;
    let sinks = open(&[target(LogAddress::File(path.clone())), capped]);
    assert!(sinks.wants(Level::Info) && !sinks.wants(Level::Debug));
    sinks.send(Level::Info, b"first");
    sinks.send(Level::Debug, b"unseen");
    sinks.send(Level::Alert, b"second");
    assert!(sinks.flush(soon()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "<6>first\n<1>second\n<4>second\n");
    assert_eq!(sinks.dropped(), 0);
}

#[test]
fn one_file_is_shared_and_closes_with_its_last_user() {
    let path = directory("shared").join("log");
    let old = open(&[target(LogAddress::File(path.clone()))]);
    old.send(Level::Info, b"old");
    let new = open(&[target(LogAddress::File(path.clone()))]);
    assert!(Arc::ptr_eq(&old.outlets[0].sink, &new.outlets[0].sink));
    drop(old);
    new.send(Level::Info, b"new");
    assert!(new.flush(soon()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "<6>old\n<6>new\n");
}

#[test]
fn a_moved_file_is_noticed() {
    let path = directory("moved").join("log");
    let mut output = output::Output::open(&LogAddress::File(path.clone())).0;
    let now = Instant::now();
    output.write(b"a\n", &[2], now).unwrap();
    std::fs::remove_file(&path).unwrap();
    output.write(b"b\n", &[2], now + Duration::from_secs(2)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "b\n");
}

#[test]
fn a_moved_file_is_written_on_when_no_new_one_can_be_made() {
    let directory = directory("stuck");
    let (inside, moved) = (directory.join("inside"), directory.join("moved"));
    std::fs::create_dir(&inside).unwrap();
    let path = inside.join("log");
    let mut output = output::Output::open(&LogAddress::File(path)).0;
    let now = Instant::now();
    output.write(b"a\n", &[2], now).unwrap();
    // What a process sees that entered a `chroot`: the whole path is gone.
    std::fs::rename(&inside, &moved).unwrap();
    for seconds in [2, 4] {
        output.write(b"b\n", &[2], now + Duration::from_secs(seconds)).unwrap();
    }
    assert_eq!(std::fs::read_to_string(moved.join("log")).unwrap(), "a\nb\nb\n");
}

#[test]
fn sends_one_datagram_a_line() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let path = directory("unix").join("socket");
    let unix = UnixDatagram::bind(&path).unwrap();
    unix.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let address = LogAddress::SyslogUdp(socket.local_addr().unwrap());
    let sinks = open(&[target(address), target(LogAddress::SyslogUnix(path))]);
    sinks.send(Level::Info, b"one");
    sinks.send(Level::Err, b"two");
    let mut buffer = [0; 100];
    for expected in [&b"<6>one\n"[..], b"<3>two\n"] {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], expected);
        let length = unix.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], expected);
    }
}

#[test]
fn an_unreachable_target_is_told_and_counted() {
    let path = directory("missing").join("nobody/here");
    let sinks = open(&[target(LogAddress::SyslogUnix(path.clone()))]);
    assert_eq!(sinks.problems().len(), 1);
    assert_eq!(sinks.problems()[0].address, LogAddress::SyslogUnix(path));
    sinks.send(Level::Info, b"lost");
    assert!(sinks.flush(soon()));
    assert_eq!(sinks.dropped(), 1);
    assert!(dropped_total() >= 1);
}

#[test]
fn a_full_queue_drops_instead_of_waiting() {
    // A pipe nobody reads stops the writer for good; the file system offers one as a fifo.
    let path = directory("full").join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let keep_readable = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let sinks = open(&[target(LogAddress::File(path))]);
    let line = vec![b'x'; 1000];
    let lines = 3 * sink::QUEUE_BYTES / line.len();
    for _ in 0..lines {
        sinks.send(Level::Info, &line);
    }
    assert!(sinks.dropped() > lines as u64 / 4, "{}", sinks.dropped());
    assert!(!sinks.flush(Instant::now() + Duration::from_millis(30)));
    drop(keep_readable);
}

#[test]
fn captured_lines_are_readable() {
    let (sinks, lines) = LogSinks::capture();
    sinks.send(Level::Notice, b"hello");
    assert_eq!(lines.recv().unwrap(), (Level::Notice, "hello".to_string()));
    assert!(!LogSinks::default().wants(Level::Emerg));
}
