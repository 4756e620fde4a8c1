# `make FOLDER` writes checkpoints with PyTorch, `check FOLDER` compares what became of them.
import json
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

action, folder = sys.argv[1], Path(sys.argv[2])
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16", torch.int64: "i64",
         torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool"}


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


def trained():
    torch.manual_seed(1)
    model = network()
    model(torch.randn(16, 3, 8, 8))  # so that the running statistics are not the initial ones
    return model.eval()


def views():
    base = torch.arange(24.0).reshape(4, 6)
    found = OrderedDict(whole=base, transposed=base.t(), row=base[1], column=base[:, 2], corner=base[2:, 3:],
                        expanded=torch.arange(3.0).expand(2, 3), scalar=torch.tensor(2.5), empty=torch.zeros(0, 3))
    for dtype, name in NAMES.items():
        found[name] = (torch.arange(7) % 3).to(dtype)
    found["tied"] = found["whole"]
    return found


x = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
cases = {}
for end, new in (("zip", True), ("legacy", False)):
    cases[f"module-{end}"] = (trained(), new)
    cases[f"dict-{end}"] = (trained().state_dict(), new)
    cases[f"views-{end}"] = (views(), new)

if action == "make":
    expected = {}
    for name, (value, new) in cases.items():
        torch.save(value, folder / f"{name}.pt", _use_new_zipfile_serialization=new)
        state = value.state_dict() if isinstance(value, nn.Module) else value
        expected[name] = [[key, NAMES[t.dtype], list(t.shape)] for key, t in state.items()]
    (folder / "expected.json").write_text(json.dumps(expected))
else:
    for name, (value, _) in cases.items():
        state = value.state_dict() if isinstance(value, nn.Module) else value
        for end in ("out", "again"):
            for mapped in (False, True):
                loaded = torch.load(folder / f"{name}.{end}.pt", weights_only=True, mmap=mapped)
                assert type(loaded) is OrderedDict and list(loaded) == list(state), name
                for key, tensor in state.items():
                    assert loaded[key].dtype == tensor.dtype and torch.equal(loaded[key], tensor), (name, key)
                    assert loaded[key].is_contiguous(), (name, key)
                if not name.startswith("views"):
                    model = network().eval()
                    model.load_state_dict(loaded)
                    assert torch.equal(model(x), trained()(x)), name
        try:
            from safetensors.torch import load_file
        except ImportError:
            continue
        loaded = load_file(folder / f"{name}.out.safetensors")
        assert set(loaded) == set(state), name
        for key, tensor in state.items():
            assert loaded[key].dtype == tensor.dtype and torch.equal(loaded[key], tensor), (name, key)
