//! `BatchNorm` folded into the layer before it, so that layer-wise methods see one linear map with a bias.
//!
//! In evaluation `y = g (W x + b - mean) / sqrt(var + eps) + h`. With `a = g / sqrt(var + eps)` the same is
//!
//! ```text
//! W' = a W    b' = 0    mean' = 0    var' = 1 - eps    g' = 1    h' = h + a (b - mean)
//! ```
//!
//! which is a network of the same architecture: the shift of its `BatchNorm` is the layer's bias. The variance is
//! such that the square root is 1.

use candle_core::{Result, Tensor};

use super::Network;

impl Network {
    /// The same function with every `BatchNorm` reduced to a bias.
    pub fn folded(&self) -> Result<Self> {
        let mut network = self.clone();
        for layer in &self.plan.layers {
            let Some(norm) = layer.norm else { continue };
            let eps = self.plan.norm_eps(norm);
            let tensor = |at: usize| &self.tensors[norm + at];
            let factor = (tensor(0) / (tensor(3) + eps)?.sqrt()?)?;
            let mut shape = vec![1; layer.shape.len()];
            shape[0] = layer.width();
            let weight = self.tensors[layer.weight].broadcast_mul(&factor.reshape(shape)?)?;
            let mut centre = tensor(2).neg()?;
            if let Some(bias) = layer.bias {
                centre = (centre + &self.tensors[bias])?;
                network.tensors[bias] = self.tensors[bias].zeros_like()?;
            }
            network.tensors[layer.weight] = weight;
            network.tensors[norm] = tensor(0).ones_like()?;
            network.tensors[norm + 1] = (tensor(1) + (centre * factor)?)?;
            network.tensors[norm + 2] = tensor(2).zeros_like()?;
            network.tensors[norm + 3] = (tensor(3).ones_like()? - eps)?;
        }
        Ok(network)
    }

    /// Index of the tensor that is layer `l`'s bias, in a folded network.
    pub fn bias(&self, l: usize) -> Option<usize> {
        let layer = &self.plan.layers[l];
        layer.norm.map(|norm| norm + 1).or(layer.bias)
    }

    /// Weight of layer `l` as `[out, in]`, unfolded kernels in the order `[C, kh, kw]`, and its bias.
    pub fn linear_of(&self, l: usize) -> Result<(Tensor, Option<Tensor>)> {
        let layer = &self.plan.layers[l];
        let weight = self.tensors[layer.weight].flatten_from(1)?;
        Ok((weight, self.bias(l).map(|at| self.tensors[at].clone())))
    }
}
