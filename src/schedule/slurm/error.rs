//! What goes wrong with Slurm.

use std::path::PathBuf;

use crate::result::StoreError;

/// Slurm cannot be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// A command of Slurm cannot be started.
    #[error("cannot start `{program}`: {source}")]
    Missing {
        /// Which one.
        program: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A command of Slurm does not end.
    #[error("`{program}` has not answered for {} s", after.as_secs())]
    Silent {
        /// Which one.
        program: &'static str,
        /// How long it was waited for.
        after: std::time::Duration,
    },
    /// A command of Slurm failed.
    #[error("`{program}` refused: {message}")]
    Refused {
        /// Which one.
        program: &'static str,
        /// Its words.
        message: String,
    },
    /// A command of Slurm said what nobody expects.
    #[error("`{program}` answered `{answer}`")]
    Answer {
        /// Which one.
        program: &'static str,
        /// Its words.
        answer: String,
    },
    /// What a submission left on disk is not what this program writes.
    #[error("`{}` is not a submission that this program can read: {problem}", path.display())]
    Submission {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A task does not see what was submitted.
    #[error(
        "this node does not see the results folder that the job was submitted from: `{}` does not hold the submission's token",
        path.display()
    )]
    NotShared {
        /// The token's file.
        path: PathBuf,
    },
    /// The results folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SlurmError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some(
                "run this where Slurm's commands are installed, such as a login node, or use `--executor local`",
            ),
            Self::Refused { message, .. } => {
                let message = message.to_lowercase();
                let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
                if says(&["invalid partition", "partition name"]) {
                    Some("`sinfo` lists the partitions; set `slurm.partition`")
                } else if says(&["invalid account", "account/partition"]) {
                    Some("`sacctmgr show associations user=$USER` lists your accounts; set `slurm.account`")
                } else if says(&["qos"]) {
                    Some(
                        "set `slurm.qos`; what was submitted already runs, the same command again submits the rest",
                    )
                } else if says(&["gres", "node configuration", "cpu count", "memory"]) {
                    Some("no node has what a job needs: see `[resources]` and `slurm.gres` in the manifest")
                } else if says(&["time limit"]) {
                    Some(
                        "the partition allows less time: see `slurm.time`, `slurm.pack` and `resources.timeout`",
                    )
                } else if says(&["connect", "contact", "controller"]) {
                    Some("is Slurm's controller up? `scontrol ping` tells")
                } else {
                    None
                }
            }
            Self::Silent { .. } => Some("is Slurm's controller up? `scontrol ping` tells"),
            Self::NotShared { .. } => {
                Some("use a folder that all nodes share: `--results DIR`, or start in such a folder")
            }
            Self::Submission { .. } => {
                Some("remove its folder; what it submitted is submitted anew where it is missing")
            }
            Self::Store(error) => error.hint(),
            Self::Answer { .. } => None,
        }
    }
}
