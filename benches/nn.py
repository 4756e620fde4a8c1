"""What benches/conv.rs does, in PyTorch: the same lines."""
import sys, time
import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]))
BATCH, ROUNDS = 128, 12
LAYERS = [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]


def fastest(forward):
    least = [float("inf")] * 2
    for _ in range(ROUNDS):
        start = time.perf_counter()
        y = forward()
        middle = time.perf_counter()
        y.backward(torch.ones_like(y))
        end = time.perf_counter()
        least = [min(least[0], middle - start), min(least[1], end - middle)]
    return [1e3 * seconds for seconds in least]


def network(x, layers):
    layers = iter(layers)
    for outputs in LAYERS:
        x = F.relu(F.conv2d(x, *next(layers), padding=1)) if outputs else F.max_pool2d(x, 2)
    return x


images = torch.randn(BATCH, 3, 32, 32)
channels, size, layers = 3, 32, []
for outputs in LAYERS:
    if outputs == 0:
        size //= 2
        continue
    weight = torch.randn(outputs, channels, 3, 3).mul_((2 / (9 * channels)) ** 0.5).requires_grad_()
    layer = (weight, torch.zeros(outputs, requires_grad=True))
    x = torch.randn(BATCH, channels, size, size, requires_grad=True) if layers else images
    forward, backward = fastest(lambda: F.conv2d(x, *layer, padding=1))
    print(f"{channels}-{outputs}, {size}x{size}\t{forward:.1f}\t{backward:.1f}", flush=True)
    layers.append(layer)
    channels = outputs
forward, backward = fastest(lambda: network(images, layers))
print(f"all, with ReLU and pooling\t{forward:.1f}\t{backward:.1f}")
