//! Work of libraries that panic at damaged or hostile data: it has a thread and a stack of its own, and its panics end there.

use std::io;
use std::panic;
use std::thread;

/// Name of these threads.
const NAME: &str = "guarded";

/// Does the work on a stack of so many bytes. An error where there is no thread for it, or where it panics.
///
/// ```
/// assert_eq!(runner::guard::run(1 << 20, || 2).ok(), Some(2));
/// assert!(runner::guard::run(1 << 20, || [0; 0].iter().max().expect("none")).is_err());
/// ```
pub fn run<T: Send>(stack: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name(NAME.to_owned()).stack_size(stack);
        let refused =
            |error| io::Error::other(format!("the system refuses another thread or process: {error}"));
        let thread = builder.spawn_scoped(scope, work).map_err(refused)?;
        let panicked = |_| io::Error::other("damaged in a way that its reader cannot name");
        thread.join().map_err(panicked)
    })
}

/// Whether this thread does such work.
pub fn is_here() -> bool {
    thread::current().name() == Some(NAME)
}

/// Has panics of this work say nothing on standard error: they are reported as errors. For programs, once.
pub fn silence() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_here() {
            report(info);
        }
    }));
}
