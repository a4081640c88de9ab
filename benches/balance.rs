//! What does choosing a server cost? `cargo bench --bench balance`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lockgate::bench_api::Turns;

fn balance(criterion: &mut Criterion) {
    let turns = Turns::new(4);
    assert!(turns.pick().is_some());
    criterion
        .bench_function("balance/pick of four weighted servers", |bencher| bencher.iter(|| black_box(&turns).pick()));
    criterion.bench_function("balance/rebuild of 100 weighted servers", |bencher| bencher.iter(|| turns.rebuild(100)));
}

criterion_group!(benches, balance);
criterion_main!(benches);
