//! A LaTeX macro per cell, for numbers in running text.

use std::collections::{BTreeMap, BTreeSet};

use super::LAYOUTS;
use super::data::{Cell, Column, Row, Table};
use super::escape::escaped;
use super::number::math;

/// One `\newcommand` per cell that has a value: `\MineMethodsBySplitAccuracyKFGradientUniformTwoModels` is `91.42 \pm 0.31`,
/// for text and for math mode.
///
/// Names begin with the experiment and the template, so that a paper may hold many tables. They have letters only, as TeX
/// wants: digits are spelled out, and cells whose names would be equal get letters behind them in the order of the tables.
/// What could be mistaken for another experiment has four letters of its hash behind its name.
/// Missing cells are `--`, impossible ones `N/A`.
pub fn to_macros(tables: &[Table]) -> String {
    let mut taken = Taken::default();
    let texts: Vec<String> = tables.iter().map(|table| of_table(table, &mut taken)).collect();
    texts.join("\n")
}

fn of_table(table: &Table, taken: &mut Taken) -> String {
    let mut lines = vec![
        format!("% Made by: {} --format macros", table.command),
        "% One macro per cell, for text and for math mode: \\input this file in the preamble.".to_string(),
    ];
    lines.extend(table.notes.iter().map(|note| format!("% {}", escaped(note))));
    let prefix = [&table.experiment, &table.template]
        .map(|name| camel(name))
        .concat()
        + &tag(&table.experiment, &table.template);
    for row in &table.rows {
        for (cell, column) in row.cells.iter().zip(&table.columns) {
            let text = match cell {
                Cell::Value { mean, std, .. } => {
                    let text = math(&column.metric.format(*mean, table.precision));
                    let spread = std.map(|std| {
                        let spread = column.metric.format_spread(std, *mean, table.precision);
                        format!(" \\pm {}", math(&spread))
                    });
                    format!("\\ensuremath{{{text}{}}}", spread.unwrap_or_default())
                }
                Cell::Missing | Cell::Undefined => "\\textrm{--}".to_string(),
                Cell::NotApplicable => "\\textrm{N/A}".to_string(),
                Cell::Empty => continue,
            };
            let name = taken.unique(&(prefix.clone() + &name(row, column)));
            lines.push(format!("\\newcommand{{\\{name}}}{{{text}}}"));
        }
    }
    lines.join("\n") + "\n"
}

/// The names there are, and how often each was asked for.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    asked: BTreeMap<String, usize>,
}

impl Taken {
    /// The name, with letters behind it where it is taken.
    fn unique(&mut self, name: &str) -> String {
        let asked = self.asked.entry(name.to_string()).or_default();
        loop {
            *asked += 1;
            let suffix = match *asked {
                1 => String::new(),
                n => letters(n),
            };
            let candidate = format!("{name}{suffix}");
            if self.names.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

/// Four letters of a hash for names that [`camel`] does not tell from others, as it does `mnist-mlp` and `cifar10-full`.
fn tag(experiment: &str, template: &str) -> String {
    if is_plain(experiment) && LAYOUTS.contains(&template) {
        return String::new();
    }
    let hash = blake3::hash(format!("{experiment}\n{template}").as_bytes());
    let letter = |(at, byte): (usize, &u8)| char::from(if at == 0 { b'A' } else { b'a' } + byte % 26);
    hash.as_bytes()[..4].iter().enumerate().map(letter).collect()
}

/// Whether a name is words of small letters with digits behind them, joined by `-`, none of which is a digit in letters.
fn is_plain(name: &str) -> bool {
    name.split('-').all(|word| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        !letters.is_empty()
            && letters.chars().all(|c| c.is_ascii_lowercase())
            && !DIGITS.iter().any(|digit| digit.eq_ignore_ascii_case(letters))
    })
}

fn name(row: &Row, column: &Column) -> String {
    let importance = row.importance.as_deref().unwrap_or_default();
    let title = column.title();
    [column.metric.as_str(), &row.label, importance, &title]
        .map(camel)
        .concat()
}

const DIGITS: [&str; 10] = [
    "Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
];

/// Words in capitals, digits in words, all else left out: `kf-gradient 2` becomes `KfGradientTwo`.
fn camel(text: &str) -> String {
    let mut name = String::new();
    let mut begins = true;
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) => name.push_str(DIGITS[digit as usize]),
            None if c.is_ascii_alphabetic() && begins => name.push(c.to_ascii_uppercase()),
            None if c.is_ascii_alphabetic() => name.push(c),
            None => {}
        }
        begins = !c.is_ascii_alphabetic();
    }
    name
}

/// `B` for 2, `Z` for 26, `AA` for 27.
fn letters(mut number: usize) -> String {
    let mut text = Vec::new();
    while number > 0 {
        number -= 1;
        text.push(char::from(b'A' + (number % 26) as u8));
        number /= 26;
    }
    text.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `exp-1`, `exp1` and `exp-one` are three experiments.
    #[test]
    fn experiments_do_not_share_names() {
        let prefix = |name: &str| camel(name) + &tag(name, "ablation");
        assert_eq!(
            prefix("cifar10-vgg11-full-small"),
            "CifarOneZeroVggOneOneFullSmall"
        );
        let alike = ["exp1", "exp-1", "exp-one", "exp_1", "Exp1", "exp.1"];
        let names: BTreeSet<String> = alike.into_iter().map(prefix).collect();
        assert_eq!(names.len(), alike.len(), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("ExpOne")), "{names:?}");
        assert_ne!(
            camel("a") + "BC" + &tag("a", "b-c"),
            camel("a-b") + "C" + &tag("a-b", "c")
        );
    }

    #[test]
    fn no_name_is_taken_twice() {
        let mut taken = Taken::default();
        let names = ["X", "XB", "X", "X", "XB"].map(|name| taken.unique(name));
        assert_eq!(names, ["X", "XB", "XC", "XD", "XBB"]);
    }

    #[test]
    fn names_have_letters_only() {
        assert_eq!(
            camel("KF gradient, head lr 0.001"),
            "KFGradientHeadLrZeroZeroZeroOne"
        );
        assert_eq!(camel("roc_auc"), "RocAuc");
        assert_eq!(
            [1, 2, 26, 27, 52, 53].map(letters),
            ["A", "B", "Z", "AA", "AZ", "BA"]
        );
    }
}
