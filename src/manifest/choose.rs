//! `first` and `groups` of a `[[fusion]]`: reading them, and what groups bring along.

use std::collections::HashSet;

use figment::value::{Dict, Value};

use super::decode::Decoder;
use super::groups::{Baseline, GroupSettings, Groups, Selection, choose};
use super::resolve::{FusionPoint, Point, Resolver};
use crate::arch::Architecture;
use crate::fusion::Arity;

/// Which models a fusion takes, as read from its entry.
pub(super) struct Chosen {
    pub selection: Selection,
    pub with: Vec<Baseline>,
    /// Where the number of models stands.
    pub size_at: Vec<String>,
}

impl Resolver<'_> {
    /// Takes `first` and `groups` out of the entry at `path`; `None` where they cannot be read.
    pub(super) fn chosen(&mut self, decoder: &Decoder, dict: &mut Dict, path: &[String]) -> Option<Chosen> {
        let at = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            decoder.with_element(&[path, &keys].concat())
        };
        let (first, groups) = (dict.remove("first"), dict.remove("groups"));
        if first.is_some() && groups.is_some() {
            let problem = decoder.layers.problem(
                &at(&["groups"]),
                true,
                "this `[[fusion]]` has both `first` and `groups`",
            );
            self.problems.push(problem.hint("keep one of them"));
            return None;
        }
        if let Some(value) = first {
            let size_at = at(&["first"]);
            return match value.deserialize::<usize>() {
                Ok(n) if n >= 2 => Some(Chosen {
                    selection: Selection::First(n),
                    with: Vec::new(),
                    size_at,
                }),
                _ => {
                    let message = "`first` must be a whole number, 2 or more";
                    let problem = decoder.layers.problem(&size_at, false, message);
                    self.problems
                        .push(problem.hint("for example `first = 4`, or `first = [2, 4, 8]` for an axis"));
                    None
                }
            };
        }
        let Some(groups) = groups else {
            return Some(Chosen {
                selection: Selection::All,
                with: Vec::new(),
                size_at: at(&["method"]),
            });
        };
        let size_at = at(&["groups", "size"]);
        let at = at(&["groups"]);
        let Value::Dict(_, groups) = groups else {
            let problem = decoder.layers.problem(&at, false, "`groups` must be a table");
            self.problems
                .push(problem.hint("for example `groups = { size = 2, sample = 30, seed = 0 }`"));
            return None;
        };
        let before = self.problems.len();
        let read = decoder.decode::<GroupSettings>(groups, &at, self.problems)?;
        let groups = Groups {
            size: read.size,
            sample: read.sample,
            // Nothing is drawn: equal groups are to compare as equal.
            seed: read.sample.map_or(0, |_| read.seed),
        };
        (self.problems.len() == before).then_some(Chosen {
            selection: Selection::Groups(groups),
            with: read.with,
            size_at,
        })
    }

    /// Whether the models a fusion asks for are there, and as many as its method takes.
    pub(super) fn check_models(&mut self, point: &Point) {
        let parts = point.settings.split.parts;
        for fusion in point.fusions.iter().filter(|_| point.sound) {
            let Some(at) = &fusion.size_at else { continue };
            let info = fusion.method.info();
            let (name, models) = (info.name, fusion.selection.size(parts));
            for (key, message) in fusion.method.contradictions(models) {
                let at = [fusion.entry.as_slice(), &[key.to_string()]].concat();
                self.problems.push(self.layers.problem(&at, false, message));
            }
            let (key, selector) = match fusion.selection {
                Selection::All => ("split.parts", String::new()),
                Selection::First(n) => ("first", format!("\nfirst = {n}")),
                Selection::Groups(groups) => ("groups.size", format!("\n\"groups.size\" = {}", groups.size)),
            };
            let message = if models > parts {
                format!("`{key}` is {models}, but there are only {parts} models here")
            } else if info.arity == Arity::Pair && models != 2 {
                format!("`{name}` fuses exactly two models, but `{key}` is {models} here")
            } else {
                if let Selection::Groups(groups) = fusion.selection {
                    self.check_number(groups, parts, at);
                }
                continue;
            };
            let selector = selector.replace('\n', "\n    ");
            self.problems.push(self.layers.problem(at, false, message).hint(format!(
                "drop the combination with\n\n    [[exclude]]\n    parts = {parts}\n    method = \"{name}\"{selector}"
            )));
        }
    }

    /// Whether the methods work on the point's networks.
    pub(super) fn check_networks(&mut self, point: &Point) {
        let settings = &point.settings;
        let info = self.sets.info(&settings.dataset).filter(|_| point.sound);
        let plan = |model: &Architecture| info.and_then(|info| model.plan(&info.shape, info.classes).ok());
        let Some(first) = plan(&settings.model) else {
            return;
        };
        let other = settings.other_models.as_ref().and_then(plan);
        for fusion in &point.fusions {
            if let Some(message) = other
                .as_ref()
                .and_then(|other| fusion.method.mismatch(&first, other))
            {
                let at = [fusion.entry.as_slice(), &["method".to_string()]].concat();
                let problem = self.layers.problem(&at, false, message);
                self.problems.push(problem.hint(
                    "`[other-models]` differ from `[model]`: leave the method out, or drop the combination by `[[exclude]]`",
                ));
            }
            for (key, message) in fusion.method.obstacles(&first) {
                let mut at = fusion.entry.clone();
                at.push(key.unwrap_or("method").to_string());
                let architecture = settings.model.name();
                let message = format!("{message} (`model.architecture` is \"{architecture}\")");
                let mut problem = self.layers.problem(&at, false, message);
                if key.is_none() {
                    problem = problem.hint(format!(
                        "`kf-gradient` fuses any network; or drop the combination with\n\n    [[exclude]]\n    architecture = \
                         \"{architecture}\"\n    method = \"{}\"",
                        fusion.method.name()
                    ));
                }
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
            }
        }
    }

    fn check_number(&mut self, groups: Groups, parts: usize, at: &[String]) {
        if groups.number(parts).is_none() {
            let size = groups.size;
            let number = choose(parts, size).map_or("too many".to_string(), |number| number.to_string());
            let message = format!("there are {number} groups of {size} out of {parts} models");
            let hint =
                "draw some of them, for example `groups = { size = 2, sample = 30 }`, or take another size";
            self.problems
                .push(self.layers.problem(at, false, message).hint(hint));
        }
    }
}

/// Puts the baselines of groups before the first fusion of the same groups, unless they are listed themselves.
pub(super) fn with_baselines(listed: &[FusionPoint]) -> Vec<FusionPoint> {
    let mut all: Vec<FusionPoint> = Vec::with_capacity(listed.len());
    let mut known: HashSet<String> = match listed.iter().any(|fusion| !fusion.with.is_empty()) {
        true => listed.iter().map(FusionPoint::identity).collect(),
        false => HashSet::new(),
    };
    for fusion in listed {
        for baseline in &fusion.with {
            let implied = FusionPoint {
                method: baseline.method(),
                label: None,
                with: Vec::new(),
                given: Dict::new(),
                size_at: None,
                ..fusion.clone()
            };
            if known.insert(implied.identity()) {
                all.push(implied);
            }
        }
        all.push(fusion.clone());
    }
    all
}
