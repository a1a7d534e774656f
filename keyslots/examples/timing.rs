//! Whether the time that a comparison of secrets takes tells where they differ: Welch's t-test over two classes of inputs, in
//! random order, as in "dude, is my code constant time?" (Reparaz, Balasch, Verbauwhede 2017).
//!
//! `cargo run --release -p keyslots --example timing`. Above 4.5, |t| says that it does; a comparison that stops at the first
//! difference is measured beside ours, to show that the test would see it. Not a test of `cargo test`: it needs a machine that
//! does little else.

use std::hint::black_box;
use std::time::Instant;

use keyslots::secret::Secret;

/// Measurements of each class.
const SAMPLES: usize = 400_000;
/// Comparisons in one measurement.
const CALLS: usize = 32;

/// Mean and variance as they come (Welford).
#[derive(Default)]
struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, x: f64) {
        self.n += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.n;
        self.squares += delta * (x - self.mean);
    }

    fn variance_of_mean(&self) -> f64 {
        self.squares / (self.n - 1.0) / self.n
    }
}

/// The t of "equal but for the last byte" against "different from the first byte on".
fn t_of(compare: impl Fn(&Secret, &[u8]) -> bool) -> f64 {
    let secret = Secret::random(64).expect("random bytes");
    let mut late = secret.expose().to_vec();
    late[63] ^= 1;
    let early: Vec<u8> = late.iter().map(|byte| !byte).collect();
    // At one address: two buffers lie in other ways across the lines of the cache, and that is seen too.
    let mut other = vec![0; secret.len()];
    let mut order = vec![0; SAMPLES / 4];
    getrandom::fill(&mut order).expect("random bytes");
    let mut times = Vec::with_capacity(2 * SAMPLES);
    for n in 0..2 * SAMPLES {
        let class = usize::from(order[n / 8] >> (n % 8) & 1);
        other.copy_from_slice([&late, &early][class]);
        let other = black_box(other.as_slice());
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(compare(black_box(&secret), black_box(other)));
        }
        times.push((class, start.elapsed().as_nanos()));
    }
    // Interruptions say nothing: what took longer than nine of ten is left out.
    let mut sorted: Vec<u128> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_unstable();
    let most = sorted[sorted.len() / 10 * 9];
    let mut classes = [Moments::default(), Moments::default()];
    for (class, time) in times.into_iter().filter(|(_, time)| *time <= most) {
        classes[class].push(time as f64);
    }
    let [late, early] = classes;
    (late.mean - early.mean) / (late.variance_of_mean() + early.variance_of_mean()).sqrt()
}

fn main() {
    let ours = t_of(Secret::ct_eq);
    let naive = t_of(|secret, other| {
        secret
            .expose()
            .iter()
            .zip(other)
            .all(|(a, b)| black_box(a) == black_box(b))
    });
    println!("Secret::ct_eq:            t = {ours:8.2}");
    println!("stops where they differ:  t = {naive:8.2}");
    assert!(naive.abs() > 4.5, "the test is blind on this machine");
    assert!(ours.abs() < 4.5, "the time tells where secrets differ");
}
