//! What a worker asks of the allocator once it has warmed up: nothing, for as long as requests look alike.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::testing::{Origin, Rig, back, front};
use crate::model::forwarded::{ForwardFor, Forwarded, Networks};

/// Exchanges before counting begins, and counted ones.
const WARM: usize = 50;
const COUNTED: usize = 500;

const GET: &[u8] = b"GET /some/path?with=query HTTP/1.1\r\nHost: app\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";

/// Reads until `len` bytes have come, into memory that is there already.
fn read_exactly(stream: &mut TcpStream, buffer: &mut [u8], len: usize) {
    stream.read_exact(&mut buffer[..len]).unwrap();
}

/// A connection that answers every request, known by its last bytes, with the same ones, until it is closed.
fn answer_all(mut stream: TcpStream, end: &[u8], response: &[u8]) {
    let (mut buffer, mut request) = ([0; 64 * 1024], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..count]);
        if request.ends_with(end) {
            request.clear();
            stream.write_all(response).unwrap();
        }
    }
}

/// Allocations the worker makes over [`COUNTED`] exchanges on one connection.
fn allocations(request: &[u8], response: &[u8], expected_len: usize) -> u64 {
    let origin = Origin::new();
    let mut frontend = front();
    frontend.log.dont_log_normal = true;
    let forwardfor = ForwardFor { except: Networks::default(), header: "X-Forwarded-For".to_owned(), if_none: false };
    frontend.forwarded = Forwarded { forwardfor: Some(forwardfor), ..Forwarded::default() };
    let rig = Rig::start(frontend, back(&[origin.address()]));
    let mut client = rig.connect().0;
    let exchange = |client: &mut TcpStream, buffer: &mut Vec<u8>| {
        client.write_all(request).unwrap();
        read_exactly(client, buffer, expected_len);
    };
    let mut buffer = vec![0; expected_len];
    std::thread::scope(|scope| {
        scope.spawn(|| answer_all(origin.accept().0, &request[request.len() - 4..], response));
        for _ in 0..WARM {
            exchange(&mut client, &mut buffer);
        }
        let before = rig.allocations();
        for _ in 0..COUNTED {
            exchange(&mut client, &mut buffer);
        }
        let counted = rig.allocations() - before;
        assert!(before > 0, "nothing is counted at all");
        drop(client);
        drop(rig); // closes the server's connection
        counted
    })
}

#[track_caller]
fn check(head: &str, body: &[u8], expected_len: usize) {
    let response = [head.as_bytes(), b"\r\n\r\n", body].concat();
    assert_eq!(allocations(GET, &response, expected_len), 0, "over {COUNTED} exchanges");
}

#[test]
fn a_small_answer_costs_no_allocation() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100";
    check(head, &[b'x'; 100], head.len() + 4 + 100);
}

#[test]
fn a_chunked_answer_costs_no_allocation() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked";
    let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    check(head, body, head.len() + 4 + body.len());
}

#[test]
fn a_large_answer_costs_no_allocation() {
    const LEN: usize = 300_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}");
    check(&head, &vec![b'x'; LEN], head.len() + 4 + LEN);
}

#[test]
fn an_upload_costs_no_allocation() {
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for len in [1000, 300_000] {
        let head = format!("POST /some/path HTTP/1.1\r\nHost: app\r\nContent-Length: {len}\r\n\r\n");
        let request = [head.as_bytes(), &vec![b'x'; len - 4], b"done"].concat();
        let allocations = allocations(&request, response, response.len());
        assert_eq!(allocations, 0, "over {COUNTED} uploads of {len} bytes");
    }
}
