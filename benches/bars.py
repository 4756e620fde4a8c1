#!/usr/bin/env python3
"""Trains in PyTorch what benches/bars.sh trains with `runner`, by the same recipe: one JSON line per seed.

    python benches/bars.py mnist --data ../shared/data --epochs 25 --cutmix --seeds 1,2,3
    python benches/bars.py vgg --data ../shared/data --epochs 5 --seeds 1,2,3 [--starts FOLDER]

`mnist` is the MLP 784-256-10, fed as the reference's training is: torchvision's transforms in a shuffling DataLoader
without workers. `vgg` is VGG11 of half width on CIFAR-10, its images in memory. Adam (lr 1e-3, weight decay 5e-5),
batches of 128, the learning rate set per epoch: warm-up from 0, then a cosine over all epochs towards 1e-5. All training
images are trained on; the last epoch counts. With --starts (needs the package safetensors), the first weights and the
orders of samples are not drawn by PyTorch but read from FOLDER/SEED.safetensors, which benches/starts.rs writes.
"""
import argparse, gzip, io, json, math, pathlib, sys, time
import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("case", choices=["mnist", "vgg"])
p.add_argument("--data", required=True, type=pathlib.Path)
p.add_argument("--epochs", type=int, required=True)
p.add_argument("--seeds", default="1")
p.add_argument("--cutmix", action="store_true")
p.add_argument("--threads", type=int, default=2)
p.add_argument("--device", default="cpu")
p.add_argument("--starts", type=pathlib.Path)
A = p.parse_args()
if A.starts and A.case != "vgg":
    p.error("--starts goes with `vgg` only")
torch.set_num_threads(A.threads)


def idx(name, offset):
    return np.frombuffer(gzip.open(A.data / "mnist" / f"{name}.gz").read(), np.uint8)[offset:]


class Mnist(torch.utils.data.Dataset):
    """As torchvision's class: an image of Pillow for every sample, then the transforms."""

    def __init__(self, part):
        from torchvision import transforms as t
        self.images = idx(f"{part}-images-idx3-ubyte", 16).reshape(-1, 28, 28)
        self.labels = idx(f"{part}-labels-idx1-ubyte", 8)
        self.transform = t.Compose([t.ToTensor(), t.Normalize((0.1307,), (0.3081,))])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        from PIL import Image
        return self.transform(Image.fromarray(self.images[i], mode="L")), int(self.labels[i])


def cifar(part):
    import pyarrow.parquet
    from PIL import Image
    table = pyarrow.parquet.read_table(sorted((A.data / "cifar10").glob(f"{part}-*.parquet"))).to_pydict()
    images = np.stack([np.asarray(Image.open(io.BytesIO(img["bytes"])).convert("RGB")) for img in table["img"]])
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.247, 0.243, 0.261])
    x = (x - mean[:, None, None]) / std[:, None, None]
    return torch.utils.data.TensorDataset(x.to(A.device), torch.tensor(table["label"]).to(A.device))


def vgg():
    layers, width = [], 3
    for out in [64, "M", 64, "M", 128, 128, "M", 256, 256, "M", 256, 512, "M"]:
        if out == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
            width = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def started(model, path):
    """Gives `model` the first weights of a start; returns the orders of its epochs."""
    from safetensors.torch import load_file
    tensors = load_file(path)
    orders = tensors.pop("order")
    assert len(orders) >= A.epochs, f"{path} has orders of {len(orders)} epochs"
    # feature_levels.0.0.weight, feature_levels.0.0.bias, feature_levels.1.1.weight, ..., classifier.2.bias
    rank = lambda name: (name.startswith("classifier"), int(name.split(".")[1]), name.endswith("bias"))
    values = [tensors[name] for name in sorted(tensors, key=rank)]
    with torch.no_grad():
        for parameter, value in zip(model.state_dict().values(), values, strict=True):
            assert parameter.shape == value.shape, (parameter.shape, value.shape)
            parameter.copy_(value)
    return orders.long()


def rate(epoch, warmup, peak=1e-3, floor=1e-5):
    if epoch < warmup:
        return peak * epoch / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * (epoch - warmup) / A.epochs)) / 2


def cutmix(x, y):
    """One rectangle for the batch, of a share drawn uniformly, from the shuffled batch."""
    other, size = torch.randperm(len(x)), x.shape[-1]
    side = size * math.sqrt(1 - np.random.beta(1.0, 1.0))
    cx, cy = np.random.uniform(0, size, 2)
    x1, x2 = (int(np.clip(c, 0, size)) for c in (cx - side // 2, cx + side // 2))
    y1, y2 = (int(np.clip(c, 0, size)) for c in (cy - side // 2, cy + side // 2))
    x[:, :, x1:x2, y1:y2] = x[other, :, x1:x2, y1:y2]
    return x, y[other], 1 - (x2 - x1) * (y2 - y1) / size**2


build, load, warmup, smoothing = {"mnist": (mlp, None, 5, 0.0), "vgg": (vgg, cifar, 0, 0.1)}[A.case]
train, test = ((load("train"), load("test")) if load else (Mnist("train"), Mnist("t10k")))
for seed in map(int, A.seeds.split(",")):
    torch.manual_seed(seed), np.random.seed(seed)
    model, loader = build().to(A.device), torch.utils.data.DataLoader(train, 128, shuffle=True)
    if A.case == "vgg":  # whole batches at once, as nothing is to be done to single images
        order = torch.utils.data.RandomSampler(train)
        if A.starts:
            order, orders = [], started(model, A.starts / f"{seed}.safetensors")
        batches = torch.utils.data.BatchSampler(order, 128, drop_last=False)
        loader = torch.utils.data.DataLoader(train, batch_size=None, sampler=batches)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=5e-5)
    model.train()
    seconds, losses = 0.0, []
    for epoch in range(A.epochs):
        total = torch.zeros((), device=A.device)
        for group in optimizer.param_groups:
            group["lr"] = rate(epoch, warmup)
        if A.starts:
            order[:] = orders[epoch].tolist()
        start = time.perf_counter()
        for x, y in loader:
            x, y = x.to(A.device), y.to(A.device)
            if A.cutmix:
                x, z, share = cutmix(x, y)
                out = model(x)
                loss = share * cross_entropy(out, y) + (1 - share) * cross_entropy(out, z)
            else:
                loss = cross_entropy(model(x), y, label_smoothing=smoothing * 10 / 9)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        losses.append(round(total.item() / len(train), 4))
        seconds += time.perf_counter() - start
        print(f"seed {seed}, epoch {epoch}: mean loss {losses[-1]:.3f}, {seconds:.0f} s", file=sys.stderr)
    model.eval()
    with torch.no_grad():
        batches = ((x.to(A.device), y.to(A.device)) for x, y in torch.utils.data.DataLoader(test, 500))
        right = sum((model(x).argmax(-1) == y).sum().item() for x, y in batches)
    print(json.dumps({
        "case": A.case, "cutmix": A.cutmix, "seed": seed, "epochs": A.epochs, "accuracy": right / len(test),
        "losses": losses, "images_per_second": round(A.epochs * len(train) / seconds, 1),
        "threads": A.threads, "device": A.device, "torch": torch.__version__,
    }), flush=True)
