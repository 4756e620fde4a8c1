//! How much a checkpoint may ask for.

/// Bounds on what reading one file may cost. The defaults leave more than ten times what the largest checkpoint
/// of the reference needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of `data.pkl` (default 64 MiB).
    pub pickle_bytes: u64,
    /// Values the pickle creates or copies, and entries visited while they are collected (default 4 194 304).
    pub objects: usize,
    /// Values waiting on the pickle's stack (default 4 194 304: a tuple is built there as a whole).
    pub stack: usize,
    /// Values the pickle keeps for later reference (default 1 048 576).
    pub memo: usize,
    /// Collections being built inside each other, and modules inside modules (default 256).
    pub depth: usize,
    /// Tensors in the state dict (default 65 536).
    pub tensors: usize,
    /// Bytes of all tensors together (default 8 GiB; beyond this, never more than 16 times the file and 1 MiB,
    /// which only expanded tensors could need).
    pub tensor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pickle_bytes: 64 << 20,
            objects: 1 << 22,
            stack: 1 << 22,
            memo: 1 << 20,
            depth: 256,
            tensors: 1 << 16,
            tensor_bytes: 8 << 30,
        }
    }
}
