//! Linear algebra on plain numbers: matrices in and out, parameters as arguments; knows no job, path or log.
//!
//! | file | what |
//! | --- | --- |
//! | `assignment` | [`assign`]: the linear assignment problem, exactly |
//! | `kmeans` | [`kmeans`]: weighted k-means on a Gram matrix |
//! | `lstsq` | [`LeastSquares`]: minimum-norm least squares with a cutoff, and its projection |
//! | `normal` | [`NormalEquations`]: the same for inputs too long to be held, from sums over blocks of rows |
//! | `products` | matrix products on several threads |
//! | `transport` | [`transport`]: exact optimal transport |
//!
//! Results do not depend on the number of threads: what runs in parallel is cut into parts of a fixed size or number,
//! each computed by one thread.

mod assignment;
mod error;
mod kmeans;
mod lstsq;
mod normal;
mod products;
mod transport;

pub use assignment::assign;
pub use error::LinalgError;
pub use kmeans::{Clustering, Points, Rule, VERSION as KMEANS_VERSION, farthest_first, kmeans};
pub use lstsq::{Cutoff, GRAM_LIMIT, LeastSquares, Solution, eigen};
pub use normal::NormalEquations;
pub use products::{add_gram, add_product, gram, product};
pub use transport::{Plan, transport};
