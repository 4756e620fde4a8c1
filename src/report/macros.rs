//! A LaTeX macro per cell, for numbers in running text.

use std::collections::BTreeMap;

use super::table::{Cell, Column, Row, Table};

/// One `\newcommand` per cell that has a value: `\MineMethodsBySplitAccuracyKFGradientUniformTwoModels` is `91.42 \pm 0.31`,
/// for text and for math mode.
///
/// Names begin with the experiment and the template, so that a paper may hold many tables. They have letters only, as TeX
/// wants: digits are spelled out, and cells whose names would be equal get letters behind them in the order of the table.
/// Missing cells are `--`, impossible ones `N/A`.
pub fn to_macros(table: &Table) -> String {
    let mut lines = vec![
        format!("% Made by: {} --format macros", table.command),
        "% One macro per cell, for text and for math mode: \\input this file in the preamble.".to_string(),
    ];
    let prefix = [&table.experiment, &table.template]
        .map(|name| camel(name))
        .concat();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in &table.rows {
        for (cell, column) in row.cells.iter().zip(&table.columns) {
            let text = match cell {
                Cell::Value { mean, std, .. } => {
                    let text = column.metric.format(*mean, table.precision);
                    let spread = std.map(|std| {
                        let spread = column.metric.format_spread(std, *mean, table.precision);
                        format!(" \\pm {spread}")
                    });
                    format!("\\ensuremath{{{text}{}}}", spread.unwrap_or_default())
                }
                Cell::Missing => "\\textrm{--}".to_string(),
                Cell::NotApplicable => "\\textrm{N/A}".to_string(),
                Cell::Empty => continue,
            };
            let name = prefix.clone() + &name(row, column);
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            let suffix = match *count {
                1 => String::new(),
                n => letters(n),
            };
            lines.push(format!("\\newcommand{{\\{name}{suffix}}}{{{text}}}"));
        }
    }
    lines.join("\n") + "\n"
}

fn name(row: &Row, column: &Column) -> String {
    let importance = row.importance.as_deref().unwrap_or_default();
    let title = column.title();
    [column.metric.as_str(), &row.label, importance, &title]
        .map(camel)
        .concat()
}

/// Words in capitals, digits in words, all else left out: `kf-gradient 2` becomes `KfGradientTwo`.
fn camel(text: &str) -> String {
    const DIGITS: [&str; 10] = [
        "Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
    ];
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
