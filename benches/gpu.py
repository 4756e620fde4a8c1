"""The trainings and fusions of benches/gpu in PyTorch, eager, f32 (and TF32, bf16 in training): one line each.

What the reference does for fusion: pinv per layer, a prediction for every pair (HF linear), and Adam over each level on
batches of 32, 100 epochs on VGG11 and 5 on the ViT (KF gradient).
"""
import argparse
import statistics
import time

import torch
from torch import nn

WIDTHS = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]


def vgg11():
    layers, channels = [], 3
    for width in WIDTHS:
        if width == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10, bias=False))


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.a, self.b = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d), nn.GELU())

    def forward(self, x):
        y = self.a(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.b(x))


class Vit(nn.Module):
    def __init__(self, d=384, depth=7, heads=12, classes=100):
        super().__init__()
        self.embed = nn.Linear(3 * 4 * 4, d)
        self.token = nn.Parameter(torch.zeros(1, 1, d))
        self.positions = nn.Parameter(torch.randn(1, 65, d) * 0.02)
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, classes))

    def tokens(self, x):
        n = x.shape[0]
        x = x.reshape(n, 3, 8, 4, 8, 4).permute(0, 2, 4, 3, 5, 1).reshape(n, 64, 48)
        return torch.cat([self.token.expand(n, -1, -1), self.embed(x)], 1) + self.positions

    def forward(self, x):
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


def seconds(device, runs, work, warmup=None):
    """The median of some runs after one that is not counted (or `warmup`)."""
    times = []
    for run in [warmup or work] + [work] * runs:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def train(name, model, classes, device, small, tf32=False, bf16=False):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    batch, steps = (8, 1) if small else (128, 20)
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    x = torch.randn(batch, 3, 32, 32, device=device)
    y = torch.arange(batch, device=device) % classes
    loss_of = nn.CrossEntropyLoss()

    def work():
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()

    took = seconds(device, 3, work)
    kind = "Bf16" if bf16 else "Tf32" if tf32 else "F32"
    print(f"train {name} {kind}: {batch * steps / took:.0f} images/s, {1e3 * took / steps:.2f} ms a step of {batch}")


def levels_of(model):
    """(module, what is applied to its input first)."""
    if isinstance(model, Vit):
        return [*model.blocks]
    groups, rest = [], []
    for layer in model:
        rest.append(layer)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            groups.append(nn.Sequential(*rest))
            rest = []
    return groups


@torch.no_grad()
def clusters(a, width):
    """Lloyd's algorithm on the columns of a [m, n], ten iterations."""
    points, centroids = a.T, a.T[:width].clone()
    for _ in range(10):
        nearest = torch.cdist(points, centroids).argmin(1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=width).clamp(min=1)
        centroids = sums / counts[:, None]
    return centroids.T


def kf_gradient(name, make, device, small):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    samples = 20 if small else 6000 if name == "ViT" else 400
    epochs = 1 if small else 5 if name == "ViT" else 100
    models = [make().to(device) for _ in range(2)]
    images = torch.randn(samples, 3, 32, 32, device=device)

    def work(epochs=epochs):
        fused = make().to(device)
        fused.load_state_dict(models[0].state_dict())
        x = fused.tokens(images).detach() if name == "ViT" else images
        outputs = [m.tokens(images).detach() if name == "ViT" else images for m in models]
        for level, own in zip(levels_of(fused), zip(*map(levels_of, models))):
            with torch.no_grad():
                outputs = [torch.cat([m(part) for part in o.split(256)]) for m, o in zip(own, outputs)]
                first = outputs[0]
                flat = [o.transpose(1, -1).reshape(-1, o.shape[1]) if o.dim() == 4 else o.reshape(-1, o.shape[-1]) for o in outputs]
                width = flat[0].shape[1]
                target = clusters(torch.cat(flat, 1), width)
                target = target.reshape(*first.transpose(1, -1).shape).transpose(1, -1) if first.dim() == 4 else target.reshape(first.shape)
                target = target.contiguous()
            optimizer = torch.optim.Adam(level.parameters(), 1e-3, weight_decay=1e-4)
            order = torch.randperm(samples, device=device)
            held = order[int(0.8 * samples):]
            order = order[: int(0.8 * samples)]
            for _ in range(epochs):
                for batch in order[torch.randperm(len(order), device=device)].split(32):
                    optimizer.zero_grad()
                    ((level(x[batch]) - target[batch]) ** 2).mean().backward()
                    optimizer.step()
                with torch.no_grad():
                    torch.cat([level(x[part]) for part in held.split(256)]).sub(target[held]).square().mean().item()
            with torch.no_grad():
                x = torch.cat([level(part) for part in x.split(256)])

    print(f"fuse kf-gradient {name}, {epochs} epochs: {seconds(device, 1, work, lambda: work(1)):.3f} s for {samples} samples")


def hf_linear(device, small):
    samples = 20 if small else 400
    models = [vgg11().to(device) for _ in range(2)]
    images = torch.randn(samples, 3, 32, 32, device=device)

    @torch.no_grad()
    def work():
        x, outputs = images, [images, images]
        for own in zip(*map(levels_of, models)):
            layer = own[0][-1]
            for before in own[0][:-1]:
                x = before(x)
            outputs = [m(o) for m, o in zip(own, outputs)]
            if isinstance(layer, nn.Conv2d):
                z = nn.functional.unfold(x, 3, padding=1).transpose(1, 2).reshape(-1, layer.weight[0].numel())
                flat = [o.permute(0, 2, 3, 1).reshape(-1, o.shape[1]) for o in outputs]
            else:
                z, flat = x, outputs
            w = torch.linalg.pinv(z) @ torch.cat(flat, 1)
            n = flat[0].shape[1]
            # As the reference: a prediction for every pair, here one row of pairs at a time.
            for i in range(n):
                mean = z @ ((w[:, i : i + 1] + w[:, n:]) / 2)
                (mean - flat[0][:, i : i + 1]).norm(dim=0) + (mean - flat[1]).norm(dim=0)
            fused = (w[:, :n] + w[:, n:]) / 2
            out = z @ fused
            x = out.reshape(samples, *outputs[0].shape[2:], n).permute(0, 3, 1, 2) if layer.weight.dim() == 4 else out

    print(f"fuse hf-linear VGG11: {seconds(device, 1, work, lambda: torch.linalg.pinv(images[0, 0])):.3f} s for {samples} samples")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("size", nargs="?")
    options = parser.parse_args()
    device, small = torch.device(options.device), options.size == "small"
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the CPU'}")
    for name, make, classes in [("VGG11", vgg11, 10), ("ViT", Vit, 100)]:
        train(name, make(), classes, device, small)
        if device.type == "cuda":
            train(name, make(), classes, device, small, tf32=True)
            train(name, make(), classes, device, small, bf16=True)
    kf_gradient("VGG11", vgg11, device, small)
    kf_gradient("ViT", Vit, device, small)
    hf_linear(device, small)


if __name__ == "__main__":
    main()
