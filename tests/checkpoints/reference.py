# `make FOLDER` writes the reference's modules, `check FOLDER` gives our exports to its classes and compares logits.
# REFERENCE is the checkout. Weights: PyTorch's own in `make`, those of the files in `check`.
import sys
import types
from pathlib import Path

action, folder, reference = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
sys.path.insert(0, reference)
for name in ("torchsummary",):
    sys.modules.setdefault(name, types.ModuleType(name))
import torch

import models.base_model as base

init = base.BaseModel.__init__  # the reference's ResNet leaves these two arguments out
base.BaseModel.__init__ = lambda self, train_indices=None, val_indices=None: init(self, train_indices, val_indices)
import models.resnet as resnet

resnet.ResNet.__abstractmethods__ = frozenset()  # and has none of the methods for levels
from models.mlp import MLPNet
from models.vgg import VGG
from models.vit import ViT
from models.vit_torch import SmallViT

CASES = {
    "mlp": lambda: MLPNet(64, 7, 5, True, True),
    "vgg11": lambda: VGG("VGG11", 10, (3, 32, 32), False, True, False),
    "vgg16-bn": lambda: VGG("VGG16", 10, (3, 32, 32), True, True, True),
    "resnet18-bn": lambda: resnet.ResNet18(10, True, True),
    "vit": lambda: ViT(3, 10, 32, 8, 0.0, 3, 48, 96, 4, True),
    "small-vit": lambda: SmallViT(32, 4, 3, 10, 48, 2, 6, 1.5, 0.2, False),
}

torch.manual_seed(0)
if action == "make":
    for name, build in CASES.items():
        torch.save(build(), folder / f"{name}.pt")
else:
    for name, build in CASES.items():
        model = build()
        model.load_state_dict(torch.load(folder / f"{name}.export.pt", weights_only=True))
        pair = torch.load(folder / f"{name}.logits.pt", weights_only=True)
        with torch.no_grad():
            logits = model.eval()(pair["images"])
        off = ((logits - pair["logits"]).abs().max() / logits.abs().max()).item()
        print(f"{name}: logits differ by {off:.1e}")
        assert off < 1e-4, (name, off)
