//! A file's tensors by name, and sizes read off several of them.

use std::collections::BTreeMap;

/// Names and shapes.
pub(super) struct Tensors<'a> {
    list: &'a [(String, Vec<usize>)],
    by_name: BTreeMap<&'a str, &'a [usize]>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(list: &'a [(String, Vec<usize>)]) -> Self {
        let by_name = list.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()));
        Self {
            list,
            by_name: by_name.collect(),
        }
    }

    /// In the file's order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.list.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.by_name.get(name).copied()
    }

    /// Size of dimension `axis` of every tensor of that many dimensions whose name starts and ends so.
    pub(super) fn sizes(&self, start: &str, end: &str, dimensions: usize, axis: usize) -> Vec<usize> {
        let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
        let found = self.list.iter().filter(|(name, _)| fits(name));
        let shapes = found.filter(|(_, shape)| shape.len() == dimensions);
        shapes.filter_map(|(_, shape)| shape.get(axis).copied()).collect()
    }

    /// Whether a linear map has a bias; scale and shift of a normalisation do not count.
    pub(super) fn bias(&self) -> bool {
        self.names().any(|name| {
            let weight = name
                .strip_suffix(".bias")
                .map(|prefix| self.shape(&format!("{prefix}.weight")));
            weight.flatten().is_some_and(|shape| shape.len() > 1)
        })
    }

    /// Whether there are running statistics.
    pub(super) fn batch_norm(&self) -> bool {
        self.names().any(|name| name.ends_with(".running_mean"))
    }

    /// One more than the largest number that follows `start`, which counts at most as the number of tensors: a single
    /// odd name makes no network of a million blocks.
    pub(super) fn count(&self, start: &str) -> usize {
        let number = |name: &str| -> Option<usize> {
            let rest = name.strip_prefix(start)?;
            rest.split('.').next()?.parse().ok()
        };
        let last = self.names().filter_map(number).max();
        last.map_or(0, |last| last.min(self.list.len()) + 1)
    }
}

/// What most of them say, the first of equals: one tensor of an odd shape is to be named, not to be believed.
pub(super) fn vote(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for size in sizes {
        match counts.iter_mut().find(|(other, _)| *other == size) {
            Some((_, count)) => *count += 1,
            None => counts.push((size, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts
        .into_iter()
        .find(|(_, count)| *count == most)
        .map(|(size, _)| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_decide_and_the_first_of_equals() {
        assert_eq!(vote([3, 4, 4]), Some(4));
        assert_eq!(vote([3, 4]), Some(3));
        assert_eq!(vote([]), None);
    }

    #[test]
    fn numbers_in_names_are_bounded_by_the_tensors() {
        let list = ["blocks.0.a", "blocks.1.b", "blocks.x"].map(|name| (name.to_string(), vec![1]));
        assert_eq!(Tensors::new(&list).count("blocks."), 2);
        let odd = [("blocks.99999999999.a".to_string(), vec![1])];
        assert_eq!(Tensors::new(&odd).count("blocks."), 2);
    }
}
