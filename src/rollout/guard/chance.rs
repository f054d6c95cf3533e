//! How likely chance alone is to make so many errors.
//!
//! Its own file, and pure: it is the arithmetic that keeps a handful of unlucky requests from rolling anybody back.

/// The probability of `bad` or more among `of`, when each is bad with probability `share`: the upper tail of the
/// binomial distribution, summed from the term at `bad` upwards.
pub fn of_so_many(bad: u64, of: u64, share: f64) -> f64 {
    if bad == 0 || share >= 1.0 {
        return 1.0;
    }
    if share <= 0.0 || bad > of {
        return 0.0;
    }
    let (n, k) = (of as f64, bad as f64);
    // Below the mean it is likely, and the sum would be long.
    if k <= n * share {
        return 1.0;
    }
    let log_term = ln_choose(of, bad) + k * share.ln() + (n - k) * (-share).ln_1p();
    let mut term = log_term.exp();
    let (mut sum, odds, mut at) = (term, share / (1.0 - share), k);
    // Above the mean each term is smaller than the one before: it ends when they no longer matter.
    while at < n && term > sum * 1e-12 {
        term *= (n - at) / (at + 1.0) * odds;
        sum += term;
        at += 1.0;
    }
    sum.min(1.0)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series; below 16 the product itself.
fn ln_factorial(n: u64) -> f64 {
    if n < 16 {
        return (2..=n).map(|it| (it as f64).ln()).sum();
    }
    let x = n as f64;
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + 1.0 / (12.0 * x)
        - 1.0 / (360.0 * x.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found / expected - 1.0).abs() < 1e-6,
            "{found} is not {expected}"
        );
    }

    #[test]
    fn the_tail_is_that_of_the_binomial_distribution() {
        // By hand: 1 - 0.99^10, and 10 * 0.5^10 + 0.5^10.
        close(of_so_many(9, 10, 0.5), 11.0 / 1024.0);
        close(of_so_many(10, 10, 0.5), 1.0 / 1024.0);
        close(of_so_many(2, 2, 0.01), 1e-4);
        close(of_so_many(3, 20, 0.01), {
            let at = |c: f64, k: i32| c * 0.01f64.powi(k) * 0.99f64.powi(20 - k);
            1.0 - at(1.0, 0) - at(20.0, 1) - at(190.0, 2)
        });
    }

    #[test]
    fn it_holds_for_many_requests_and_at_the_edges() {
        assert_eq!(of_so_many(0, 0, 0.01), 1.0);
        assert_eq!(of_so_many(3, 2, 0.01), 0.0);
        assert_eq!(of_so_many(1, 100, 0.0), 0.0);
        assert!(of_so_many(11_000, 1_000_000, 0.01) < 1e-20);
        assert!(of_so_many(10_100, 1_000_000, 0.01) > 0.1);
    }
}
