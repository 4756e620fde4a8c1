//! One legend for all panels, centred below them, and what has to be said about spreads.

use std::fmt::Write;

use super::{TEXT, longest, mark, second_mark, style};
use crate::report::figure::model::{Figure, Sample};
use crate::report::figure::palette::shade;
use crate::report::filters::latex;

impl Figure {
    pub(super) fn typeset_legend(&self, out: &mut String) {
        let below = "anchor=north, inner sep=1pt] at ([yshift=-1.5mm]current bounding box.south)";
        let legend = self.legend();
        if !legend.is_empty() {
            let entry = 1.0 + longest(legend.iter().map(|(name, _)| *name)) as f64 * 0.145;
            let across = ((TEXT / entry) as usize).clamp(1, legend.len());
            // An ampersand would not survive as the argument of another command, and may be part of a name.
            let _ = writeln!(
                out,
                "\\matrix[row sep=0pt, column sep=3pt, nodes={{font=\\scriptsize, anchor=mid west, inner sep=1pt}}, {below} {{"
            );
            for row in legend.chunks(across) {
                let entries = row.iter().map(|(name, sample)| {
                    let (image, name) = (image(*sample), latex(name));
                    format!("{image} \\pgfmatrixnextcell \\node {{{name}\\quad}};")
                });
                let _ = writeln!(
                    out,
                    "{} \\\\",
                    entries.collect::<Vec<_>>().join(" \\pgfmatrixnextcell\n")
                );
            }
            out.push_str("};\n");
        }
        if let Some(note) = self.note() {
            let note = latex(note).replace('\u{b1}', "$\\pm$");
            let _ = writeln!(out, "\\node[font=\\scriptsize, {below} {{{note}}};");
        }
    }
}

/// What stands beside a name.
fn image(sample: Sample) -> String {
    let filled = |options: &str| format!("\\path[{options}] (0,-0.03) rectangle (0.3,0.17);");
    match sample {
        Sample::Curve(curve) => {
            let second = second_mark(curve).map_or(String::new(), |style| {
                format!("\\draw[{style}] plot coordinates {{(0.3,0.07)}};")
            });
            format!(
                "\\draw[{}] plot[mark indices={{2}}] coordinates {{(0,0.07) (0.3,0.07) (0.6,0.07)}};{second}",
                style(curve)
            )
        }
        Sample::Shade(value) => {
            let (r, g, b) = shade(value.sqrt());
            filled(&format!("draw=gray, fill={{rgb,255:red,{r};green,{g};blue,{b}}}"))
        }
        Sample::Bar(kind) => filled(&format!("fill=bar{kind}")),
        Sample::Shape(shape) => format!(
            "\\draw[gray, mark size=2pt] plot[only marks, {}] coordinates {{(0.15,0.07)}};",
            mark(shape, "")
        ),
        Sample::Cross => {
            "\\draw[thick, mark size=2pt] plot[only marks, mark=x] coordinates {(0.15,0.07)};".to_string()
        }
    }
}
