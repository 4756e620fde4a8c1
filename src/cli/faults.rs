//! Writing that fails, for tests of what comes after: the hidden variable `RUNNER_FAULTS`.
//!
//! `seed=7,rate=0.02,kinds=enospc+eio+short+torn+death` has one step of writing in fifty fail, in one of these ways;
//! `at=40,kinds=death` has the fortieth step fail, `only=settle` flushes of many files alone. `clock=-240` has this machine's clock be four minutes slow.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;

use super::CliError;
use crate::files::{Fault, Step, inject, inject_clock};
use crate::seed;

/// Its name.
pub const VARIABLE: &str = "RUNNER_FAULTS";

/// Reads the variable, if it is set.
pub fn init() -> Result<(), CliError> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Ok(());
    };
    let plan = Plan::parse(&text).ok_or_else(|| {
        CliError::usage(
            format!("`{VARIABLE}={text}` is not understood"),
            "it is for tests, see src/cli/faults.rs; unset it",
        )
    })?;
    inject_clock(plan.clock);
    if plan.kinds.is_empty() {
        return Ok(());
    }
    let steps = AtomicU64::new(0);
    inject(Box::new(move |step| {
        plan.at(steps.fetch_add(1, Ordering::Relaxed), step)
    }));
    Ok(())
}

struct Plan {
    seed: u64,
    rate: f64,
    at: Option<u64>,
    only: Option<Step>,
    kinds: Vec<Fault>,
    clock: i64,
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let mut plan = Self {
            seed: 0,
            rate: 0.0,
            at: None,
            only: None,
            kinds: Vec::new(),
            clock: 0,
        };
        for pair in text.split(',') {
            let (key, value) = pair.split_once('=')?;
            match key {
                "seed" => plan.seed = value.parse().ok()?,
                "rate" => plan.rate = value.parse().ok()?,
                "at" => plan.at = Some(value.parse().ok()?),
                "only" if value == "settle" => plan.only = Some(Step::Settle),
                "clock" => plan.clock = value.parse().ok()?,
                "kinds" => plan.kinds = value.split('+').map(kind).collect::<Option<_>>()?,
                _ => return None,
            }
        }
        (!plan.kinds.is_empty() || plan.clock != 0).then_some(plan)
    }

    /// What goes wrong at the `number`-th step: always the same for the same seed.
    fn at(&self, number: u64, step: Step) -> Option<Fault> {
        let mut rng = seed::generator(self.seed, "faults", &[number]);
        let due = match self.at {
            Some(at) => at == number,
            None => rng.random::<f64>() < self.rate,
        };
        let fault = self.kinds[rng.random_range(0..self.kinds.len())];
        // Only writes can be cut short.
        let possible = step == Step::Write || matches!(fault, Fault::Refused(_) | Fault::Death);
        let meant = self.only.is_none_or(|only| only == step);
        (due && possible && meant).then_some(fault)
    }
}

/// With the numbers that Linux has for these errors.
fn kind(name: &str) -> Option<Fault> {
    const EIO: i32 = 5;
    const ENOSPC: i32 = 28;
    Some(match name {
        "enospc" => Fault::Refused(ENOSPC),
        "eio" => Fault::Refused(EIO),
        "torn" => Fault::Torn(ENOSPC),
        "short" => Fault::Short,
        "death" => Fault::Death,
        _ => return None,
    })
}
