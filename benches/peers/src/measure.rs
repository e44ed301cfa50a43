//! Measurement of contenders in short turns, so that the load of the host affects all of them, and a table of the results.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::allocator::allocation_count;

/// The number of turns of each contender.
const ROUNDS: usize = 301;
/// The approximate duration of a turn. It is shorter than the time slice of a scheduler.
const TURN_DURATION: Duration = Duration::from_millis(1);

/// An implementation to measure.
pub struct Contender<'a> {
    name: &'a str,
    work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new<T>(name: &'a str, mut work: impl FnMut() -> T + 'a) -> Self {
        Self { name, work: Box::new(move || drop(std::hint::black_box(work()))) }
    }
}

/// A row of a table.
pub struct Row {
    pub name: String,
    pub time: Duration,
    pub allocations: Option<u64>,
}

/// Measures contenders in turns. The ratios of the table are relative to the first one.
pub fn measure(mut contenders: Vec<Contender<'_>>) -> Vec<Row> {
    let turns: Vec<_> = contenders.iter_mut().map(|contender| repetitions(&mut contender.work)).collect();
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for ((contender, turns), times) in contenders.iter_mut().zip(&turns).zip(&mut times) {
            let start = Instant::now();
            (0..*turns).for_each(|_| (contender.work)());
            times.push(start.elapsed() / *turns);
        }
    }
    let rows = contenders.iter_mut().zip(times).map(|(contender, times)| {
        let before = allocation_count();
        (0..100).for_each(|_| (contender.work)());
        let allocations = (allocation_count() - before).div_ceil(100);
        Row { name: contender.name.to_owned(), time: tenth_percentile(times), allocations: Some(allocations) }
    });
    rows.collect()
}

/// Returns the number of repetitions that fit into one turn.
fn repetitions(work: &mut dyn FnMut()) -> u32 {
    let mut turns = 1;
    loop {
        let start = Instant::now();
        (0..turns).for_each(|_| work());
        if start.elapsed() >= TURN_DURATION {
            return turns;
        }
        turns *= 2;
    }
}

/// Returns the tenth percentile. Slower turns were disturbed by other processes.
fn tenth_percentile(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 10]
}

pub fn median<T: Copy + PartialOrd>(mut samples: Vec<T>) -> T {
    samples.sort_by(|left, right| left.partial_cmp(right).expect("no sample is NaN"));
    samples[samples.len() / 2]
}

/// A contender on two threads, with the work of each thread.
pub struct ThreadPair<'a> {
    pub name: &'a str,
    pub first: &'a (dyn Fn() + Sync),
    pub second: &'a (dyn Fn() + Sync),
}

/// Measures contenders on two threads concurrently, with `repetitions` in each turn.
pub fn measure_on_two_threads(repetitions: u32, pairs: &[ThreadPair<'_>]) -> Vec<Row> {
    let mut times = vec![Vec::with_capacity(ROUNDS); pairs.len()];
    for _ in 0..ROUNDS {
        for (pair, times) in pairs.iter().zip(&mut times) {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for work in [pair.first, pair.second] {
                    scope.spawn(move || (0..repetitions).for_each(|_| work()));
                }
            });
            times.push(start.elapsed() / repetitions);
        }
    }
    let rows = pairs.iter().zip(times);
    rows.map(|(pair, times)| Row { name: pair.name.to_owned(), time: tenth_percentile(times), allocations: None })
        .collect()
}

/// Prints a table with the ratios to the first row.
pub fn print_table(title: &str, rows: &[Row]) {
    println!("\n## {title}\n");
    println!("| | time | relative to the first | allocations |\n|---|---:|---:|---:|");
    for row in rows {
        let ratio = row.time.as_secs_f64() / rows[0].time.as_secs_f64();
        let allocations = row.allocations.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        println!("| {} | {} | {ratio:.2} | {allocations} |", row.name, format_duration(row.time));
    }
}

pub fn format_duration(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ ..10_000 => format!("{nanos} ns"),
        nanos @ ..10_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        nanos => format!("{:.1} ms", nanos as f64 / 1e6),
    }
}

/// Runs a future to completion and parks the thread while the future is pending.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static WAKER: Waker = Waker::from(Arc::new(ThreadWaker(std::thread::current()))));
    let mut future = pin!(future);
    WAKER.with(|waker| {
        let mut context = Context::from_waker(waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => std::thread::park(),
            }
        }
    })
}

struct ThreadWaker(std::thread::Thread);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns the output of a future that is ready at the first poll.
pub fn poll_ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is not ready"),
    }
}
