//! Characters beyond ASCII as LaTeX prints them, whichever program typesets and whichever fonts it has.

/// Latin letters that the fonts of a plain document lack.
const LACKING: &str = "ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų‚„‹›";

/// Greek letters that are no Latin ones, and signs that only formulas have.
const FORMULAS: [(char, &str); 58] = [
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Ξ', "Xi"),
    ('Π', "Pi"),
    ('Σ', "Sigma"),
    ('Υ', "Upsilon"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "varepsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('ς', "varsigma"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "varphi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('ϵ', "epsilon"),
    ('ϕ', "phi"),
    ('−', "-"),
    ('∈', "in"),
    ('∑', "sum"),
    ('√', "surd"),
    ('∞', "infty"),
    ('∂', "partial"),
    ('∇', "nabla"),
    ('∥', "parallel"),
    ('≈', "approx"),
    ('≠', "neq"),
    ('≡', "equiv"),
    ('≤', "leq"),
    ('≥', "geq"),
    ('≪', "ll"),
    ('≫', "gg"),
    ('«', "ll"),
    ('»', "gg"),
    ('⊕', "oplus"),
    ('⊗', "otimes"),
    ('⋅', "cdot"),
    ('ℓ', "ell"),
];

/// Accents of letters that a file system has taken apart.
const ACCENTS: [(char, &str); 11] = [
    ('\u{300}', "`"),
    ('\u{301}', "'"),
    ('\u{302}', "^"),
    ('\u{303}', "~"),
    ('\u{304}', "="),
    ('\u{306}', "u"),
    ('\u{307}', "."),
    ('\u{308}', "\""),
    ('\u{30a}', "r"),
    ('\u{30c}', "v"),
    ('\u{327}', "c"),
];

/// Appends a character that is not ASCII.
pub fn push(c: char, to: &mut String) {
    let formula = FORMULAS.iter().find(|(known, _)| *known == c);
    let accent = ACCENTS.iter().find(|(known, _)| *known == c);
    match (c, formula, accent) {
        // Latin letters, and signs that every document has.
        ('\u{a0}'..='\u{17e}', None, _) if !LACKING.contains(c) => to.push(c),
        ('–' | '—' | '‘' | '’' | '“' | '”' | '†' | '‡' | '•' | '…', ..) => to.push(c),
        (_, Some((_, "-")), _) => to.push_str(r"\ensuremath{-}"),
        (_, Some((_, name)), _) => to.extend([r"\ensuremath{\", name, "}"]),
        (_, _, Some((_, accent))) if to.ends_with(|last: char| last.is_ascii_alphabetic()) => {
            let letter = to.pop().unwrap_or_default();
            to.extend([r"\", accent, "{", letter.encode_utf8(&mut [0; 4]), "}"]);
        }
        // They join or vary the characters around them.
        ('\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}', ..) => {}
        _ => to.push_str(&where_known(c)),
    }
}

/// The character where the document can print it, and otherwise its number: in the conventional engine a character that
/// no package has declared is an error.
fn where_known(c: char) -> String {
    let declared = match LACKING.contains(c) {
        true => r"\encodingdefault\string\k".to_string(),
        false => format!(r"u8:\detokenize{{{c}}}"),
    };
    let number = format!("U+{:04X}", u32::from(c));
    format!(
        r"{{\ifdefined\Umathcode {c}\else\ifcsname {declared}\endcsname {c}\else\texttt{{{number}}}\allowbreak\fi\fi}}"
    )
}

/// How many characters a character may take in print.
pub fn width(c: char) -> usize {
    if c.is_ascii() {
        return 1;
    }
    let mut text = String::new();
    push(c, &mut text);
    match text.contains(r"\else") {
        true => 6,
        false => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str) -> String {
        let mut to = String::new();
        text.chars().for_each(|c| push(c, &mut to));
        to
    }

    #[test]
    fn characters_of_every_document_stay() {
        assert_eq!(pushed("éßž±–“"), "éßž±–“");
        assert_eq!(pushed("σ≤"), r"\ensuremath{\sigma}\ensuremath{\leq}");
        let mut accented = "e".to_string();
        push('\u{301}', &mut accented);
        assert_eq!(accented, r"\'{e}");
    }

    #[test]
    fn others_have_a_number_where_they_are_not_declared() {
        assert_eq!(
            pushed("中\u{fe0f}"),
            r"{\ifdefined\Umathcode 中\else\ifcsname u8:\detokenize{中}\endcsname 中\else\texttt{U+4E2D}\allowbreak\fi\fi}"
        );
        assert_eq!(['a', 'é', 'σ', '中'].map(width), [1, 1, 1, 6]);
        assert!(pushed("ą").contains(r"\ifcsname \encodingdefault\string\k\endcsname ą"));
    }
}
