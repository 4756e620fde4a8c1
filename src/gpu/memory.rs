//! How much of a GPU's memory one step takes. A job that runs out of it runs once more, on half of the chunks.

use std::cell::Cell;

thread_local! {
    static DIVISOR: Cell<usize> = const { Cell::new(1) };
}

/// `n` samples or elements at a time, or half as many within [`halved`]; at least 1.
pub fn chunk(n: usize) -> usize {
    (n / DIVISOR.get()).max(1)
}

/// Runs `work` with half of every [`chunk`].
pub fn halved<R>(work: impl FnOnce() -> R) -> R {
    let before = DIVISOR.replace(2 * DIVISOR.get());
    let result = work();
    DIVISOR.set(before);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_halved_within() {
        assert_eq!(chunk(250), 250);
        assert_eq!(halved(|| (chunk(250), chunk(1))), (125, 1));
        assert_eq!(chunk(250), 250);
    }
}
