//! With PyTorch itself, where `RUNNER_PYTHON` names an interpreter that has it: an `nn.Sequential` of the same list, its
//! state dict by names and by shapes, and its logits.

use std::path::PathBuf;
use std::process::Command;

use candle_core::{Device, Tensor};
use runner::arch::Network;
use runner::checkpoint::torch::read;
use serde_json::json;

use super::sequential;
use crate::shared::say_skipped;

const SCRIPT: &str = r#"
import sys, collections, torch
from torch import nn
torch.manual_seed(3)

class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = nn.Sequential(*body), nn.Sequential(*shortcut)
    def forward(self, x):
        return self.body(x) + self.shortcut(x)

net = nn.Sequential(
    nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
    Residual([nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(6, 6, 1)],
             [nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6)]),
    nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2),
    nn.Flatten(), nn.LayerNorm(6), nn.Dropout(0.5), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5))
x = torch.randn(16, 2, 8, 8)
net.train(); net(x); net.eval()
state = net.state_dict()
modules = list(dict.fromkeys(n.rsplit(".", 1)[0] for n in state))
other = collections.OrderedDict((f"m{modules.index(n.rsplit('.', 1)[0])}." + n.split(".")[-1], t) for n, t in state.items())
torch.save(state, sys.argv[1] + "/names.pt")
torch.save(other, sys.argv[1] + "/order.pt")
torch.save({"x": x, "y": net(x).detach()}, sys.argv[1] + "/io.pt")
"#;

#[test]
fn a_module_of_pytorch_is_the_list_of_its_layers() {
    let Some(python) = std::env::var_os("RUNNER_PYTHON").map(PathBuf::from) else {
        say_skipped(
            "`sequential` and PyTorch",
            "RUNNER_PYTHON names no Python with torch",
        );
        return;
    };
    let folder = tempfile::tempdir().expect("temporary folder");
    let output = Command::new(python)
        .args(["-W", "ignore", "-c", SCRIPT])
        .arg(folder.path())
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let architecture = sequential(&[
        json!({ "kind": "conv", "out": 4, "kernel": 3, "padding": 1, "bias": false }),
        json!({ "kind": "batch-norm" }),
        json!({ "kind": "relu" }),
        json!({ "kind": "residual", "body": [
            { "kind": "conv", "out": 6, "kernel": 3, "stride": 2, "padding": 1 },
            { "kind": "gelu" },
            { "kind": "conv", "out": 6, "kernel": 1 },
        ], "shortcut": [
            { "kind": "conv", "out": 6, "kernel": 1, "stride": 2, "bias": false },
            { "kind": "batch-norm" },
        ] }),
        json!({ "kind": "relu" }),
        json!({ "kind": "max-pool", "kernel": 3, "stride": 2, "padding": 1 }),
        json!({ "kind": "avg-pool", "kernel": 2 }),
        json!({ "kind": "flatten" }),
        json!({ "kind": "layer-norm" }),
        json!({ "kind": "dropout", "p": 0.5 }),
        json!({ "kind": "linear", "out": 8 }),
        json!({ "kind": "batch-norm" }),
        json!({ "kind": "relu" }),
        json!({ "kind": "linear" }),
    ]);
    let open = |name: &str| read(&folder.path().join(name)).expect("a PyTorch file").tensors;
    let io = open("io.pt");
    let (x, y): (&Tensor, &Tensor) = (&io[0].1, &io[1].1);
    for file in ["names.pt", "order.pt"] {
        let network = Network::from_state(&architecture, &[2, 8, 8], 5, &open(file), &Device::Cpu);
        let network = network.unwrap_or_else(|error| panic!("{file}: {error}"));
        let difference = (network.forward(x).expect("logits") - y).expect("equal shapes");
        let largest = difference.abs().and_then(|d| d.max_all()?.to_scalar::<f32>());
        let largest = largest.expect("a number");
        assert!(largest < 1e-5, "{file}: {largest:e}");
    }
}
