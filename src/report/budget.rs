//! How much a template may do: bytes it makes, time it takes, macros inside each other.
//!
//! The engine has no bounds of its own: a list of all numbers, a text doubled in a loop, a macro that calls itself take all
//! memory, all time, or the whole stack. So each expression, round of a loop and macro is made to report here what it costs
//! (see `metered.rs`), and what multiplies says so before it does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tera::{Error, Tera, Value};

/// Bytes of text and values that a template may make, beside a multiple of what it is given.
const BYTES: u64 = 64 << 20;
/// How often a template may go through what it is given.
const ROUNDS: u64 = 8;
/// Of an expression or a round, whatever it makes.
const STEP: u64 = 16;
/// Of a value in a list.
const VALUE: u64 = 32;
/// Lists in lists.
const DEEPEST: usize = 64;
/// Macros inside each other.
const MOST_MACROS: usize = 64;
/// For what is slow and makes nothing.
const LONGEST: Duration = Duration::from_secs(10);

/// Name of the argument that says which tag is at work. No template can write it, nor the names below.
pub(super) const AT: &str = " at";
/// Argument: bytes of a value, or bytes of text in a body.
pub(super) const OF: &str = " of";
/// Filter that counts a value.
pub(super) const COUNT: &str = " count";
/// Function that counts a value and gives it back.
pub(super) const PART: &str = " part";
/// Function that counts a round of a loop.
pub(super) const ROUND: &str = " round";
/// Function that counts a macro that begins.
pub(super) const ENTER: &str = " enter";
/// Function for a macro that ends.
pub(super) const LEAVE: &str = " leave";
/// Filters that may make far more than they are given.
pub(super) const GROWING: [&str; 5] = ["split", "truncate", "replace", "indent", "join"];

type Arguments = HashMap<String, Value>;

/// What a rendering has spent. One for each.
pub(super) struct Budget {
    spent: AtomicU64,
    limit: u64,
    macros: AtomicUsize,
    end: Instant,
    fault: Mutex<Option<(usize, String)>>,
}

impl Budget {
    /// For a template that is given these values.
    pub(super) fn new(given: &Value) -> Self {
        let given = size(given, usize::MAX).unwrap_or_default();
        Self {
            spent: AtomicU64::new(0),
            limit: BYTES.saturating_add(ROUNDS.saturating_mul(given)),
            macros: AtomicUsize::new(0),
            end: Instant::now() + LONGEST,
            fault: Mutex::new(None),
        }
    }

    /// The bound that was met: the number of the tag, and what is wrong.
    pub(super) fn fault(&self) -> Option<(usize, String)> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the engine report here.
    pub(super) fn register(self: &Arc<Self>, tera: &mut Tera) {
        let budget = self.clone();
        tera.register_filter(COUNT, move |value: &Value, given: &Arguments| {
            budget.count(given, value)?;
            Ok(value.clone())
        });
        let budget = self.clone();
        tera.register_function(PART, move |given: &Arguments| {
            let value = given.get(OF).unwrap_or(&Value::Null);
            budget.count(given, value)?;
            Ok(value.clone())
        });
        let budget = self.clone();
        tera.register_function(ROUND, move |given: &Arguments| {
            budget.spend(given, number(given, OF))?;
            Ok(Value::String(String::new()))
        });
        let budget = self.clone();
        tera.register_function(ENTER, move |given: &Arguments| {
            budget.spend(given, number(given, OF))?;
            if budget.macros.fetch_add(1, Ordering::Relaxed) >= MOST_MACROS {
                return Err(budget.refuse(given, format!("more than {MOST_MACROS} macros call each other")));
            }
            Ok(Value::String(String::new()))
        });
        let budget = self.clone();
        tera.register_function(LEAVE, move |_: &Arguments| {
            budget.macros.fetch_sub(1, Ordering::Relaxed);
            Ok(Value::String(String::new()))
        });
        if let Some(range) = tera.functions.get("range").cloned() {
            let budget = self.clone();
            tera.register_function("range", move |given: &Arguments| {
                budget.spend(given, of_range(given).saturating_mul(VALUE))?;
                range.call(given)
            });
        }
        for name in GROWING {
            if let Some(filter) = tera.filters.get(name).cloned() {
                let budget = self.clone();
                tera.register_filter(name, move |value: &Value, given: &Arguments| {
                    budget.spend(given, growth(name, value, given))?;
                    filter.filter(value, given)
                });
            }
        }
    }

    fn count(&self, given: &Arguments, value: &Value) -> tera::Result<()> {
        match size(value, DEEPEST) {
            Some(bytes) => self.spend(given, bytes),
            None => Err(self.refuse(given, format!("lists are inside each other {DEEPEST} deep"))),
        }
    }

    fn spend(&self, given: &Arguments, bytes: u64) -> tera::Result<()> {
        let cost = bytes.saturating_add(STEP);
        let before = self.spent.load(Ordering::Relaxed);
        let spent = before.saturating_add(cost);
        self.spent.store(spent, Ordering::Relaxed);
        if spent > self.limit {
            let most = self.limit >> 20;
            return Err(self.refuse(
                given,
                format!(
                    "the template makes more than {most} MiB of text and values: a list or a loop is too long"
                ),
            ));
        }
        if Instant::now() > self.end {
            let reason = format!("the template takes longer than {} s", LONGEST.as_secs());
            return Err(self.refuse(given, reason));
        }
        Ok(())
    }

    fn refuse(&self, given: &Arguments, reason: String) -> Error {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, reason) = fault.get_or_insert((number(given, AT) as usize, reason));
        Error::msg(reason)
    }
}

fn number(given: &Arguments, name: &str) -> u64 {
    given.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// Bytes that a value takes, roughly; `None` where lists are nested more than `depth` deep.
fn size(value: &Value, depth: usize) -> Option<u64> {
    let inner = |value: &Value| size(value, depth.checked_sub(1)?);
    Some(match value {
        Value::Array(values) => values
            .iter()
            .try_fold(VALUE, |sum, value| Some(sum + inner(value)?))?,
        Value::Object(values) => values.iter().try_fold(VALUE, |sum, (name, value)| {
            Some(sum + 2 * VALUE + name.len() as u64 + inner(value)?)
        })?,
        Value::String(text) => VALUE + text.len() as u64,
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
    })
}

/// How many numbers `range` makes.
fn of_range(given: &Arguments) -> u64 {
    let step = given.get("step_by").and_then(Value::as_u64).unwrap_or(1);
    let span = number(given, "end").saturating_sub(number(given, "start"));
    // A step of nothing never arrives.
    span.checked_div(step)
        .map_or(u64::MAX, |count| count.saturating_add(1))
}

/// Bytes that a filter makes beside those it is given, at least.
fn growth(name: &str, value: &Value, given: &Arguments) -> u64 {
    let text = value.as_str().unwrap_or_default();
    let argument = |name: &str| given.get(name).and_then(Value::as_str);
    let length = |name: &str, default: u64| argument(name).map_or(default, |text| text.len() as u64);
    let count = match name {
        "split" => return 2 * VALUE * text.len() as u64,
        "truncate" => return VALUE * text.len() as u64,
        "replace" => (
            text.matches(argument("from").unwrap_or_default()).count() as u64,
            length("to", 0),
        ),
        "indent" => (text.lines().count() as u64, length("prefix", 4)),
        _ => (
            value.as_array().map_or(0, Vec::len) as u64,
            VALUE + length("sep", 0),
        ),
    };
    count.0.saturating_mul(count.1)
}
