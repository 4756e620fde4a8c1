//! What numbers over repeated runs, and predictions on the same examples, allow to say.
//!
//! | file | what | compared with |
//! | --- | --- | --- |
//! | `describe.rs` | mean, spread, 95 % t-interval | textbook tables |
//! | `distributions.rs` | tails of Student's t, the normal and the binomial distribution | `scipy.stats` |
//! | `paired.rs` | paired t-test, Wilcoxon's signed-rank test, Holm's correction | `scipy.stats.ttest_rel`, `wilcoxon` |
//! | `examples.rs` | McNemar's exact test, bootstrap over test examples | `scipy.stats.binomtest` |
//!
//! All tests are two-sided.

mod describe;
mod distributions;
mod examples;
mod paired;

pub use describe::{Observation, Statistics, by_repetition, mean, t_quantile_975};
pub use examples::{Bootstrap, McNemar, bootstrap, mcnemar};
pub use paired::{PairedT, Wilcoxon, holm, paired_t, smallest_wilcoxon_p, wilcoxon};
