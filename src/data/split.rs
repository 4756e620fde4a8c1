//! Splits of the training set over base models.
//!
//! | kind | rule |
//! | --- | --- |
//! | `full` | each part is the whole set |
//! | `non-iid` | per class: concentrations evenly spaced from 1 to 5, shuffled; shares drawn from the Dirichlet distribution of these; the class' shuffled samples cut by the shares, the last part takes the rest |
//! | `sharded` | the shuffled classes cut into nearly equal disjoint groups, the first ones larger |
//! | `stratified` | each class dealt out in turn: per class and in total, parts differ by one sample at most |
//! | `random` | each sample to a part drawn uniformly |
//! | `classes` | explicit class lists, one per part |
//!
//! Every part lists positions of `labels` in ascending order. But for `full`, the parts are disjoint and complete.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataError, DataSetInfo};

/// How the training set is split over the base models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// Every model sees everything; models differ by their seed.
    Full,
    /// Uneven shares of every class, drawn from a Dirichlet distribution with concentrations 1 to 5.
    NonIid,
    /// Disjoint groups of whole classes, drawn at random.
    Sharded,
    /// Equal shares of every class.
    Stratified,
    /// Every sample goes to a random model.
    Random,
    /// Explicit lists of classes, one per model.
    Classes,
}

/// What only some kinds of split need.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct SplitOptions {
    /// `classes`: the classes of each part. Every class is in exactly one list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Vec<u32>>,
}

/// Smallest and largest Dirichlet concentration of a non-iid split.
const CONCENTRATIONS: (f64, f64) = (1.0, 5.0);
const WHAT: &str = "split the training set";

/// Splits positions `0..labels.len()` into `parts` parts by the rule of `kind`.
///
/// Errors: no part; fewer samples than parts; a label not below `classes`; a part that gets no sample; `sharded`: more
/// parts than classes; `classes`: lists that are not one per part, or that do not hold every class exactly once; class
/// lists given to another kind.
pub fn split(
    labels: &[u32],
    classes: usize,
    kind: SplitKind,
    parts: usize,
    options: &SplitOptions,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Vec<usize>>, DataError> {
    check(kind, parts, &options.classes, classes, labels.len())?;
    let by_class = by_class(0..labels.len(), labels, classes, WHAT)?;
    let mut split = match kind {
        SplitKind::Full => vec![(0..labels.len()).collect(); parts],
        SplitKind::NonIid => non_iid(by_class, parts, rng)?,
        SplitKind::Sharded => by_lists(&by_class, &sharded(classes, parts, rng)),
        SplitKind::Stratified => stratified(by_class, parts, rng),
        SplitKind::Random => random(labels.len(), parts, rng),
        SplitKind::Classes => by_lists(&by_class, &options.classes),
    };
    for (index, part) in split.iter_mut().enumerate() {
        if part.is_empty() {
            return impossible(format!("part {index} of {parts} gets no sample"));
        }
        part.sort_unstable();
    }
    Ok(split)
}

/// Checks what [`split`](split()) would refuse, as far as it can be known before the data set is loaded.
pub fn check_split(
    kind: SplitKind,
    parts: usize,
    class_lists: Option<&[Vec<u32>]>,
    info: &DataSetInfo,
) -> Result<(), DataError> {
    check(
        kind,
        parts,
        class_lists.unwrap_or_default(),
        info.classes,
        info.train,
    )
}

/// Splits `indices` at random into training and validation indices, each in ascending order.
///
/// The validation part has `floor(ratio * n)` samples, but at least one where `ratio` is positive. Errors where `ratio`
/// is not in `[0, 1)`, or where no training sample would be left.
pub fn hold_out(
    indices: &[usize],
    ratio: f64,
    rng: &mut ChaCha8Rng,
) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    let what = "hold out validation samples";
    if !(0.0..1.0).contains(&ratio) {
        let problem = format!("the ratio must be at least 0 and below 1, not {ratio}");
        return Err(DataError::Impossible { what, problem });
    }
    let held = ((ratio * indices.len() as f64) as usize).max(usize::from(ratio > 0.0));
    if held >= indices.len() {
        let problem = format!("{held} of {} samples would leave none to train on", indices.len());
        return Err(DataError::Impossible { what, problem });
    }
    let mut shuffled = indices.to_vec();
    shuffled.shuffle(rng);
    let mut train = shuffled.split_off(held);
    train.sort_unstable();
    shuffled.sort_unstable();
    Ok((train, shuffled))
}

/// The given positions, by class. Errors where a position or a label is out of range.
pub(super) fn by_class(
    indices: impl Iterator<Item = usize>,
    labels: &[u32],
    classes: usize,
    what: &'static str,
) -> Result<Vec<Vec<usize>>, DataError> {
    let mut by_class = vec![Vec::new(); classes];
    for index in indices {
        let label = labels.get(index).copied();
        if let Some(class) = label.and_then(|label| by_class.get_mut(label as usize)) {
            class.push(index);
            continue;
        }
        let problem = match label {
            Some(label) => format!("sample {index} has label {label}, but there are {classes} classes"),
            None => format!("there is no sample {index}: the set has {}", labels.len()),
        };
        return Err(DataError::Impossible { what, problem });
    }
    Ok(by_class)
}

fn impossible<T>(problem: String) -> Result<T, DataError> {
    Err(DataError::Impossible { what: WHAT, problem })
}

fn non_iid(
    by_class: Vec<Vec<usize>>,
    parts: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Vec<usize>>, DataError> {
    let (low, high) = CONCENTRATIONS;
    let step = (high - low) / parts.saturating_sub(1).max(1) as f64;
    let mut split = vec![Vec::new(); parts];
    for mut samples in by_class {
        let mut concentrations: Vec<f64> = (0..parts).map(|part| low + step * part as f64).collect();
        concentrations.shuffle(rng);
        let shares = dirichlet(&concentrations, rng)?;
        samples.shuffle(rng);
        let (mut cumulative, mut start) = (0.0, 0);
        for (part, share) in split.iter_mut().zip(&shares).take(parts - 1) {
            cumulative += share;
            let end = ((cumulative * samples.len() as f64) as usize).clamp(start, samples.len());
            part.extend(&samples[start..end]);
            start = end;
        }
        split[parts - 1].extend(&samples[start..]);
    }
    Ok(split)
}

/// Shares from the Dirichlet distribution: independent Gamma variates over their sum.
///
/// `rand_distr` has it too, but with the number of shares fixed at compile time.
fn dirichlet(concentrations: &[f64], rng: &mut ChaCha8Rng) -> Result<Vec<f64>, DataError> {
    let mut shares = Vec::with_capacity(concentrations.len());
    for &concentration in concentrations {
        match Gamma::new(concentration, 1.0) {
            Ok(gamma) => shares.push(gamma.sample(rng)),
            Err(error) => return impossible(format!("concentration {concentration}: {error}")),
        }
    }
    let sum: f64 = shares.iter().sum();
    Ok(shares.into_iter().map(|share| share / sum).collect())
}

fn sharded(classes: usize, parts: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..classes as u32).collect();
    order.shuffle(rng);
    let (size, larger) = (classes / parts, classes % parts);
    let mut rest = order.as_slice();
    let groups = (0..parts).map(|part| {
        let (group, tail) = rest.split_at(size + usize::from(part < larger));
        rest = tail;
        group.to_vec()
    });
    groups.collect()
}

fn stratified(by_class: Vec<Vec<usize>>, parts: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut split = vec![Vec::new(); parts];
    let mut next = 0;
    for mut samples in by_class {
        samples.shuffle(rng);
        for sample in samples {
            split[next % parts].push(sample);
            next += 1;
        }
    }
    split
}

fn random(samples: usize, parts: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
    let mut split = vec![Vec::new(); parts];
    for sample in 0..samples {
        split[rng.random_range(0..parts)].push(sample);
    }
    split
}

/// What can be known without the labels.
fn check(
    kind: SplitKind,
    parts: usize,
    lists: &[Vec<u32>],
    classes: usize,
    samples: usize,
) -> Result<(), DataError> {
    if parts == 0 {
        return impossible("there must be at least one part".to_owned());
    }
    if parts > samples {
        return impossible(format!("{parts} parts, but only {samples} samples"));
    }
    if kind == SplitKind::Sharded && parts > classes {
        return impossible(format!("{parts} parts, but only {classes} classes to share out"));
    }
    if kind == SplitKind::Classes {
        check_lists(classes, parts, lists)
    } else if lists.is_empty() {
        Ok(())
    } else {
        impossible("class lists are given, but the kind of split is not `classes`".to_owned())
    }
}

fn check_lists(classes: usize, parts: usize, lists: &[Vec<u32>]) -> Result<(), DataError> {
    if lists.len() != parts {
        return impossible(format!("{parts} parts, but {} class lists", lists.len()));
    }
    if let Some(part) = lists.iter().position(Vec::is_empty) {
        return impossible(format!("the class list of part {part} is empty"));
    }
    let mut uses = vec![0; classes];
    for &class in lists.iter().flatten() {
        match uses.get_mut(class as usize) {
            Some(uses) => *uses += 1,
            None => {
                return impossible(format!(
                    "there is no class {class}, only {classes} of them, counted from 0"
                ));
            }
        }
    }
    match uses.iter().position(|&uses| uses != 1) {
        Some(class) if uses[class] == 0 => impossible(format!("class {class} is in no class list")),
        Some(class) => impossible(format!("class {class} is listed {} times", uses[class])),
        None => Ok(()),
    }
}

fn by_lists(by_class: &[Vec<usize>], lists: &[Vec<u32>]) -> Vec<Vec<usize>> {
    let samples = |list: &Vec<u32>| {
        list.iter()
            .flat_map(|&class| by_class[class as usize].clone())
            .collect()
    };
    lists.iter().map(samples).collect()
}

#[cfg(test)]
mod tests;
