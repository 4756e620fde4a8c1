//! Progress of long computations, and whether to go on.

use std::ops::ControlFlow;

/// Told at least once a second that a computation goes on; answers whether it should.
pub type Tick<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// The [`Tick`] of nobody: always goes on.
///
/// ```
/// use runner::linalg::assign;
/// use runner::tick::unwatched;
///
/// assert_eq!(assign(&[2.0, 1.0, 1.0, 2.0], 2, &mut unwatched)?, [1, 0]);
/// # Ok::<(), runner::linalg::LinalgError>(())
/// ```
pub fn unwatched() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A computation was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

/// An error where the answer is to stop.
pub fn go_on(on_tick: &mut Tick) -> Result<(), Stopped> {
    match on_tick() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stopped),
    }
}
