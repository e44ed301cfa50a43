//! Measuring contenders in turn, so that whatever else the machine does disturbs all of them alike, and one table of it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::counting::allocations;

/// How often each contender has its turn.
const ROUNDS: usize = 301;
/// How long one turn takes, about: less than what a scheduler gives to one thread at a time.
const TURN: Duration = Duration::from_millis(1);

/// One way to do the work.
pub struct Contender<'a> {
    name: &'a str,
    work: Box<dyn FnMut() + 'a>,
}

/// A way to do the work once.
pub fn contender<'a, T>(name: &'a str, mut work: impl FnMut() -> T + 'a) -> Contender<'a> {
    Contender { name, work: Box::new(move || drop(std::hint::black_box(work()))) }
}

/// What came of it.
pub struct Row {
    pub name: String,
    pub time: Duration,
    pub allocations: Option<u64>,
}

/// Takes turns; the first contender is the measure for the others.
pub fn race(mut contenders: Vec<Contender<'_>>) -> Vec<Row> {
    let turns: Vec<_> = contenders.iter_mut().map(|contender| repetitions(&mut contender.work)).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, turns), times) in contenders.iter_mut().zip(&turns).zip(&mut times) {
            let begun = Instant::now();
            (0..*turns).for_each(|_| (contender.work)());
            times.push(begun.elapsed() / *turns);
        }
    }
    let rows = contenders.iter_mut().zip(times).map(|(contender, times)| {
        let before = allocations();
        (0..100).for_each(|_| (contender.work)());
        let allocations = (allocations() - before).div_ceil(100);
        Row { name: contender.name.to_owned(), time: quick(times), allocations: Some(allocations) }
    });
    rows.collect()
}

/// How often a work fits into one turn.
fn repetitions(work: &mut dyn FnMut()) -> u32 {
    let mut turns = 1;
    loop {
        let begun = Instant::now();
        (0..turns).for_each(|_| work());
        if begun.elapsed() >= TURN {
            return turns;
        }
        turns *= 2;
    }
}

/// What one turn in ten is faster than: the others shared their core with somebody.
fn quick(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 10]
}

pub fn median<T: Copy + PartialOrd>(mut samples: Vec<T>) -> T {
    samples.sort_by(|left, right| left.partial_cmp(right).expect("no sample is NaN"));
    samples[samples.len() / 2]
}

/// Somebody's work on two threads: what either of them does.
pub struct Pair<'a> {
    pub name: &'a str,
    pub first: &'a (dyn Fn() + Sync),
    pub second: &'a (dyn Fn() + Sync),
}

/// Takes turns on two threads at once, in each of which the work is done `each` times.
pub fn race_in_pairs(each: u32, pairs: &[Pair<'_>]) -> Vec<Row> {
    let mut times = vec![Vec::with_capacity(ROUNDS); pairs.len()];
    for _ in 0..ROUNDS {
        for (pair, times) in pairs.iter().zip(&mut times) {
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for work in [pair.first, pair.second] {
                    scope.spawn(move || (0..each).for_each(|_| work()));
                }
            });
            times.push(begun.elapsed() / each);
        }
    }
    let rows = pairs.iter().zip(times);
    rows.map(|(pair, times)| Row { name: pair.name.to_owned(), time: quick(times), allocations: None }).collect()
}

/// Prints rows beside the first one.
pub fn table(title: &str, rows: &[Row]) {
    println!("\n## {title}\n");
    println!("| | time | of the first | allocations |\n|---|---:|---:|---:|");
    for row in rows {
        let ratio = row.time.as_secs_f64() / rows[0].time.as_secs_f64();
        let allocations = row.allocations.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        println!("| {} | {} | {ratio:.2} | {allocations} |", row.name, shown(row.time));
    }
}

pub fn shown(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ ..10_000 => format!("{nanos} ns"),
        nanos @ ..10_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        nanos => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

/// The answer of a future that may wait for another thread, on a thread that does nothing else.
pub fn waited_for<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static WAKER: Waker = Waker::from(Arc::new(Unpark(std::thread::current()))));
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => std::thread::park(),
            }
        }
    })
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The answer of a future that has it at once.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("what is at hand needs no waiting"),
    }
}
