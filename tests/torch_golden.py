"""The table `known` of tests/golden.h, by PyTorch in float64.

    torch_golden.py

torchvision's networks with three classes and no dropout, filled with the
numbers of tests/netcheck.h.  Vectors are projected on a hash.  The last column
is how far PyTorch's own float32 is from its float64, the gradients' by norm: the
worse of with and without oneDNN (of an AVX2 machine, where it is farthest).
"""
import numpy as np
import torch
import torchvision

PROJECT, IMAGES, TARGETS = 2000, 1000, 1001
NETS = {"resnet18": 64, "resnet34": 64, "resnet50": 64, "mobilenet_v2": 64,
        "vgg16": 224}


def number(salt, n):
    """net_number() of 0 to n-1."""
    x = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B9)
    x += np.uint32(salt * 0x85EBCA6B & 0xFFFFFFFF)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return (x ^ x >> np.uint32(16)) * 2.0**-31 - 1


def network(name):
    """net_fill() of torchvision's network, in its float32 numbers."""
    net = getattr(torchvision.models, name)(num_classes=3)
    entries = [(k, v) for k, v in net.state_dict().items()
               if not k.endswith("num_batches_tracked")]
    for i, (key, v) in enumerate(entries):
        middle, width = 0, 0.2
        if v.dim() > 1:
            width = np.sqrt(6 * v.shape[0] / v.numel())
        elif key.endswith(".weight") or key.endswith("_var"):
            middle = 1
        filled = middle + width * number(i, v.numel())
        v.copy_(torch.from_numpy(filled.astype(np.float32)).view(v.shape))
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0
    return net


def pieces(name, size, dtype):
    net = network(name).to(dtype).train()
    images = torch.from_numpy((2 * number(IMAGES, 6 * size * size)).astype(
        np.float32)).view(2, 3, size, size).to(dtype).requires_grad_()
    targets = torch.from_numpy(((1 + number(TARGETS, 6)) / 2).astype(
        np.float32)).view(2, 3).to(dtype)
    logits = net(images)
    loss = -(targets * torch.log_softmax(logits, 1)).sum()
    loss.backward()
    net.eval()
    with torch.no_grad():
        found = [loss.detach(), logits.detach(), images.grad,
                 torch.cat([p.grad.flatten() for p in net.parameters()]),
                 torch.cat([v.flatten() for k, v in net.named_buffers()
                            if "running" in k] or [torch.zeros(1)]),
                 net(images)]
    return [v.double().flatten().numpy() for v in found]


def main():
    for name, size in NETS.items():
        exact = pieces(name, size, torch.float64)
        golden = [exact[0][0]] + [v @ number(PROJECT, v.size)
                                  for v in exact[1:]]
        apart = 0
        for onednn in True, False:
            with torch.backends.mkldnn.flags(enabled=onednn):
                single = pieces(name, size, torch.float32)
            apart = max(apart, np.linalg.norm(single[3] - exact[3]) /
                        np.linalg.norm(exact[3]))
        print(f'    {{ "{name}", {size},\n      {{ ' +
              ", ".join(f"{v:.9g}" for v in golden[:3]) + ",\n        " +
              ", ".join(f"{v:.9g}" for v in golden[3:]) +
              f" }}, {apart:.0e} }},", flush=True)


if __name__ == "__main__":
    main()
