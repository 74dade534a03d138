"""Our programs against PyTorch and torchvision, on the same weights and scans.

    torch_parity.py FOLDER [NETWORK...]

FOLDER holds 64, 128 and 224.safetensors (u8, one channel, as busi-prep makes
them); the programs are on PATH.  For every network, backend and type:
what the same weights say of the same scans, then loss, gradients and running
statistics of one batch in training, and the losses of 20 steps of SGD.

A table of differences from PyTorch in float64, relative to the norm: of
gradients and statistics that of the worst tensor.  PyTorch's own float32 and
autocast to bfloat16 are held against it too.  Status 1 if a figure in f32 is
over its limit, or one in bf16 over twice PyTorch's own; where the CPU has no bf16
its lines are left out, and one says SKIP.

The weights are torchvision's initial ones, but for biases, which are shifted by
up to 0.05.  A ReLU's gradient jumps where its input is 0: an input that is 0
within rounding takes either side, and of a million inputs a few do.  That alone
puts the gradients of two right computations 3e-3 to 4e-2 apart.  So biases are
chosen such that no scan has an input next to a jump.  Of VGG16's max-pools, 2.6
million windows, a dozen have two largest inputs within rounding, and no bias
parts them: its gradients are held to three times PyTorch's own distance.
"""
import copy
import os
import subprocess
import sys

import torch
import torch.nn.functional as F
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from torch import nn

LIMITS = {"answers": 1e-4, "loss": 1e-3, "statistics": 1e-3,
          "gradients": 1e-3, "20 steps": 1e-3}
NETS = ["resnet18", "resnet34", "resnet50", "mobilenet_v2", "vgg16"]
STEPPED = ["resnet18", "mobilenet_v2"]      # 20 steps by ref: minutes each
SIZES = {"mobilenet_v2": 128, "vgg16": 224}
# Rates of the 20 steps at which PyTorch's own float32 keeps within 1e-3 of its
# float64.  Deep networks with batch-norm are steep at the start: ResNet-50's
# loss falls from 1.29 to 0.21 at 1e-6, and at 0.001 the two are a tenth apart.
RATES = {"resnet18": 1e-3, "resnet34": 1e-5, "resnet50": 3e-7,
         "mobilenet_v2": 3e-6, "vgg16": 1e-3}
COMMON = ["-q", "--fold", "all", "--schedule", "constant", "--warmup", "0",
          "--augment", "none", "--dropout", "0", "--weight-decay", "0",
          "--optimizer", "sgd", "--momentum", "0", "--ema", "0", "--select",
          "last", "--no-calibrate", "--init-norm", "same", "--threads", "2"]


def scans(path):
    data = load_file(path)      # NumPy opens datasets as they are
    x = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)
    return (x / 255 - 0.5) / 0.5, torch.from_numpy(data["labels"])


def network(name):
    """A torchvision network for one channel and three classes, no dropout."""
    net = getattr(torchvision.models, name)(num_classes=3)
    first = net.conv1 if name.startswith("resnet") else net.features[0]
    first = first if isinstance(first, nn.Conv2d) else first[0]
    first.weight = nn.Parameter(first.weight[:, :1] * 3)
    first.in_channels = 1
    for m in net.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0
    return net


def shifts(z, kinks, reach):
    """Per channel of z, what takes it farthest from the kinks."""
    found = torch.zeros(len(z), dtype=z.dtype)
    ends = torch.tensor([-reach, reach], dtype=z.dtype)
    for i, row in enumerate(z):
        hits = torch.cat([k - row for k in kinks])
        hits = torch.cat([hits[hits.abs() < reach], ends]).sort().values
        widest = hits.diff().argmax()
        found[i] = hits[widest:widest + 2].mean()
    return found


def clear_kinks(net, x, reach=0.05):
    """Shift biases so that no ReLU of x is next to where it bends."""
    net.double().train()
    last = []

    def clear(relu, args):
        z, = args
        kinks = (0, 6) if isinstance(relu, nn.ReLU6) else (0,)
        shift = shifts(z.transpose(0, 1).flatten(1), kinks, reach)
        last[-1].bias += shift
        return z + shift.view(-1, *[1] * (z.dim() - 2))

    hooks = []
    for m in net.modules():
        if isinstance(m, (nn.ReLU, nn.ReLU6)):
            hooks.append(m.register_forward_pre_hook(clear))
        elif getattr(m, "bias", None) is not None:
            hooks.append(m.register_forward_hook(
                lambda m, _, out: last.append(m)))
    with torch.no_grad():
        net(x.double())
    for hook in hooks:
        hook.remove()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.reset_running_stats()
    return net.float()


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def column(path, name):
    with open(path) as f:
        head = f.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in f]
    return torch.tensor([float(row[head.index(name)]) for row in rows])


def running(net, state):
    return [state[k] for k, _ in net.named_buffers() if "running" in k]


def torch_steps(net, x, y, n, smoothing, half, **sgd):
    """The losses of n steps, as PyTorch takes them."""
    opt = torch.optim.SGD(net.parameters(), **sgd)
    losses = []
    for _ in range(n):
        opt.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, half):
            loss = F.cross_entropy(net(x), y, label_smoothing=smoothing)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return torch.tensor(losses)


def theirs(net, name, x, y, dtype):
    """What PyTorch finds in float64, float32, or autocast to bfloat16."""
    half = dtype == torch.bfloat16
    if half:
        dtype = torch.float32
    x = x.to(dtype)
    one = copy.deepcopy(net).to(dtype).train()
    found = {"loss": [torch_steps(one, x, y, 1, 0.1, half, lr=0)]}
    found["gradients"] = [p.grad for p in one.parameters()]
    found["statistics"] = running(one, one.state_dict())
    one.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, half):
        found["answers"] = [F.log_softmax(one(x), 1)]
    if not half:
        many = copy.deepcopy(net).to(dtype).train()
        found["20 steps"] = [torch_steps(
            many, x, y, 20, 0, False, lr=RATES[name], momentum=0.9,
            weight_decay=1e-3)]
    return found


def ours(net, name, data, device, dtype):
    """What busi-train and busi-predict find from the weights in w.pth."""
    where = ["--device", device, "--dtype", dtype]

    def train(*more):
        run("busi-train", *COMMON, *where, "-d", data, "-m", name, "--init",
            "w.pth", "-b", "64", "-o", "out.safetensors", "--log", "log.tsv",
            *more)
        return load_tensors("out.safetensors"), [column("log.tsv",
                                                        "train_loss")]

    after, loss = train("--lr", "1", "-e", "1", "--label-smoothing", "0.1")
    found = {"loss": loss, "statistics": running(net, after),
             "gradients": [v.detach() - after[k]
                           for k, v in net.named_parameters()]}
    if dtype == "f32" and (device != "ref" or name in STEPPED):
        found["20 steps"] = train(
            "--lr", str(RATES[name]), "--momentum", "0.9", "--weight-decay", "0.001",
            "--label-smoothing", "0", "-e", "20")[1]
    train("--lr", "0", "-e", "1")
    run("busi-predict", "-q", "-m", "out.safetensors", "-d", data, *where,
        "--allow-train-rows", "-o", "pred.tsv")
    found["answers"] = [torch.stack([column("pred.tsv", "p_" + c).log() for c
                                     in ("benign", "malignant", "normal")], 1)]
    return found


def gap(found, exact):
    """The worst tensor's difference, relative to its norm.

    Some gradients and means are 0 but for rounding (a shift that the next
    batch-norm takes away): a hundredth of all tensors' norm counts at least.
    """
    exact = [v.double() for v in exact]
    least = 1e-2 * sum(v.norm()**2 for v in exact).sqrt()
    return max(((v.double() - w).norm() / torch.maximum(w.norm(), least)).item()
               for v, w in zip(found, exact))


def gaps(found, exact):
    return {k: gap(v, exact[k]) for k, v in found.items() if v}


def row(name, where, found, limits=None):
    """Print a line and tell whether a figure is over its limit."""
    print(f"{name:14}{where:14}" + "".join(
        f"{found[k]:>12.1e}" if k in found else f"{'':12}" for k in LIMITS),
        flush=True)
    return limits is not None and not all(v <= limits[k]
                                          for k, v in found.items())


def main():
    torch.manual_seed(1)
    torch.set_num_threads(2)
    bad = False
    print(f"{'network':28}" + "".join(f"{k:>12}" for k in LIMITS))
    for name in sys.argv[2:] or NETS:
        data = f"{SIZES.get(name, 64)}.safetensors"
        x, y = scans(data)
        net = clear_kinks(network(name), x)
        torch.save(net.state_dict(), "w.pth")
        exact = theirs(net, name, x, y, torch.float64)
        single = gaps(theirs(net, name, x, y, torch.float32), exact)
        half = gaps(theirs(net, name, x, y, torch.bfloat16), exact)
        limits = dict(LIMITS)
        if name == "vgg16":     # ties in its max-pools, which no bias parts
            limits["gradients"] = 3 * single["gradients"]
        twice = {k: max(2 * v, LIMITS[k]) for k, v in half.items()}
        for device, dtype in ("cpu", "f32"), ("ref", "f32"), ("cpu", "bf16"):
            try:
                found = gaps(ours(net, name, data, device, dtype), exact)
            except subprocess.CalledProcessError as failure:
                if "bf16 on the CPU needs" not in failure.stderr:
                    raise
                print(f"SKIP {name}: {failure.stderr.strip()}")
                continue
            bad |= row(name, f"{device} {dtype}", found,
                       limits if dtype == "f32" else twice)
        row(name, "PyTorch f32", single)
        row(name, "PyTorch bf16", half)
    return 1 if bad else 0


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    sys.exit(main())
