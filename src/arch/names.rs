//! Names of tensors without what a wrapper or an enclosing module puts before them.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use super::Plan;

/// Parts of names that PyTorch's wrappers add, at the front or within: `DataParallel` and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// Enclosing modules that are looked through.
const DEEPEST: usize = 8;

/// The names as they are, then without the parts of wrappers, then both without the first part, the first two, ... that
/// all names have in common. What would give two tensors one name is left out.
pub(super) fn variants<'a>(names: &[&'a str]) -> impl Iterator<Item = Vec<Cow<'a, str>>> {
    let plain: Vec<Cow<'a, str>> = names.iter().map(|name| Cow::Borrowed(*name)).collect();
    let unwrapped: Vec<Cow<'a, str>> = names.iter().map(|name| unwrapped(name)).collect();
    let starts = match unwrapped == plain || !are_distinct(&unwrapped) {
        true => vec![plain],
        false => vec![plain, unwrapped],
    };
    let common = starts
        .iter()
        .map(|names| common_parts(names))
        .max()
        .unwrap_or_default();
    (0..=common).flat_map(move |parts| {
        let long_enough = |names: &&Vec<Cow<'a, str>>| parts <= common_parts(names);
        let cut: Vec<_> = starts
            .iter()
            .filter(long_enough)
            .map(|names| without(names, parts))
            .collect();
        cut
    })
}

impl Plan {
    /// The names in the form of which most are the plan's own: without what wrappers and enclosing modules put before
    /// them.
    pub fn closest_names(&self, names: &[&str]) -> Vec<String> {
        let own: BTreeSet<&str> = self
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        let mut best = (None, Vec::new());
        for names in variants(names) {
            let found = names.iter().filter(|name| own.contains(name.as_ref())).count();
            if best.0.is_none_or(|most| found > most) {
                best = (Some(found), names);
            }
            if best.0 == Some(own.len()) {
                break;
            }
        }
        best.1.into_iter().map(Cow::into_owned).collect()
    }
}

fn unwrapped(name: &str) -> Cow<'_, str> {
    let Some((module, last)) = name.rsplit_once('.') else {
        return Cow::Borrowed(name);
    };
    if !module.split('.').any(|part| WRAPPERS.contains(&part)) {
        return Cow::Borrowed(name);
    }
    let kept = module.split('.').filter(|part| !WRAPPERS.contains(part));
    Cow::Owned(kept.chain([last]).collect::<Vec<_>>().join("."))
}

fn are_distinct(names: &[Cow<'_, str>]) -> bool {
    let mut seen = HashSet::new();
    names.iter().all(|name| seen.insert(name.as_ref()))
}

/// How many parts all names begin with, the last part of each left over.
fn common_parts(names: &[Cow<'_, str>]) -> usize {
    let modules = |name: &str| name.matches('.').count();
    let Some((first, others)) = names.split_first() else {
        return 0;
    };
    let alike = |other: &Cow<'_, str>| {
        let pairs = first.split('.').zip(other.split('.')).take(DEEPEST);
        pairs.take_while(|(a, b)| a == b).count().min(modules(other))
    };
    let own = modules(first).min(DEEPEST);
    others.iter().map(alike).fold(own, usize::min)
}

fn without<'a>(names: &[Cow<'a, str>], parts: usize) -> Vec<Cow<'a, str>> {
    let cut = |name: &Cow<'a, str>| match (parts, name) {
        (0, name) => name.clone(),
        (_, Cow::Borrowed(name)) => Cow::Borrowed(rest(name, parts)),
        (_, Cow::Owned(name)) => Cow::Owned(rest(name, parts).to_owned()),
    };
    names.iter().map(cut).collect()
}

fn rest(name: &str, parts: usize) -> &str {
    name.splitn(parts + 1, '.').last().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&str]) -> Vec<Vec<String>> {
        let owned = |names: Vec<Cow<'_, str>>| names.iter().map(ToString::to_string).collect();
        variants(names).map(owned).collect()
    }

    #[test]
    fn wrappers_and_enclosing_modules_are_looked_through() {
        assert_eq!(all(&["a.weight", "b.weight"]), [["a.weight", "b.weight"]]);
        assert_eq!(all(&["weight"]), [["weight"]]);
        assert_eq!(
            all(&["_orig_mod.module.net.a.w", "_orig_mod.module.net.b.w"]),
            [
                ["_orig_mod.module.net.a.w", "_orig_mod.module.net.b.w"],
                ["net.a.w", "net.b.w"],
                ["module.net.a.w", "module.net.b.w"],
                ["a.w", "b.w"],
                ["net.a.w", "net.b.w"],
                ["a.w", "b.w"],
            ]
        );
        // A wrapper around a part of the network.
        assert_eq!(all(&["f.module.0.w", "head.w"])[1], ["f.0.w", "head.w"]);
        // Two tensors keep two names, and each has one.
        assert_eq!(
            all(&["f.module.w", "f.w"]),
            [["f.module.w", "f.w"], ["module.w", "w"]]
        );
        assert_eq!(all(&["f", "f.w"]).len(), 1);
        assert_eq!(all(&[]).len(), 1);
    }

    #[test]
    fn a_thousand_parts_cost_no_more_than_a_few() {
        let name = "a.".repeat(500) + "w";
        assert_eq!(all(&[&name]).len(), 1 + DEEPEST);
    }
}
