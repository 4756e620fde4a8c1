//! The two formats of tables.

/// What a template makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// A `.tex` file, to be `\input`.
    Latex,
    /// A `.md` file, also printed on the terminal.
    Markdown,
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Latex, Self::Markdown];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latex => "latex",
            Self::Markdown => "markdown",
        }
    }

    /// Ending of its files, templates and results alike.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Latex => "tex",
            Self::Markdown => "md",
        }
    }
}
