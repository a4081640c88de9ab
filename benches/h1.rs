//! What does one keep-alive exchange cost in the HTTP/1 codec alone? `cargo bench --bench h1`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lockgate::bench_api::Exchange;

/// A browser's request with ten fields.
const REQUEST: &[u8] = b"GET /servicedesk/api/v1/tickets?state=open&page=2 HTTP/1.1\r\n\
Host: app.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Referer: https://app.example.com/servicedesk\r\n\
Cookie: JSESSIONID=0123456789abcdef0123456789abcdef; theme=dark\r\n\
Connection: keep-alive\r\n\
Cache-Control: max-age=0\r\n\
If-None-Match: \"5f3e-1a2b\"\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.22.1\r\n\
Date: Fri, 20 Nov 2026 11:00:00 GMT\r\n\
Content-Type: application/json\r\n\
Content-Length: 100\r\n\
Last-Modified: Fri, 20 Nov 2026 10:00:00 GMT\r\n\
Connection: keep-alive\r\n\
ETag: \"5f3e-1a2b\"\r\n\
Accept-Ranges: bytes\r\n\r\n";

fn codec(criterion: &mut Criterion) {
    let mut exchange = Exchange::default();
    assert!(exchange.parse_request(REQUEST) && exchange.parse_response(RESPONSE));
    criterion.bench_function("h1/parse request of ten fields", |bencher| {
        bencher.iter(|| exchange.parse_request(black_box(REQUEST)));
    });
    criterion.bench_function("h1/look up host and an absent field", |bencher| {
        bencher.iter(|| black_box(&exchange).look_up());
    });
    criterion.bench_function("h1/encode request", |bencher| bencher.iter(|| exchange.encode_request()));
    criterion.bench_function("h1/parse response of eight fields", |bencher| {
        bencher.iter(|| exchange.parse_response(black_box(RESPONSE)));
    });
    criterion.bench_function("h1/encode response", |bencher| bencher.iter(|| exchange.encode_response()));
    criterion.bench_function("h1/whole exchange with forwardfor", |bencher| {
        bencher.iter(|| {
            exchange.parse_request(black_box(REQUEST));
            exchange.forward();
            exchange.encode_request();
            exchange.parse_response(black_box(RESPONSE));
            exchange.encode_response()
        });
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
