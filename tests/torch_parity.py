"""Our programs against PyTorch and torchvision, on the same weights and scans.

    torch_parity.py FOLDER

FOLDER holds 64.safetensors and 224.safetensors (u8, one channel, as busi-prep
makes them); the programs are on PATH.  For every network and backend: what the
same weights say of the same scans, then loss, gradients and running statistics
of one batch in training, and the losses of 20 steps of SGD.

A table of differences relative to the norm.  In deep networks with batch-norm
float32 itself is far from exact (a ReLU takes the other side, and what follows
amplifies it).  So gradients and the 20 steps are held against PyTorch in
float64, and beside each stands how far PyTorch's own float32 is from that.
Status 1 if a figure is over its limit, or over three times PyTorch's own.
"""
import os
import subprocess
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors

LIMITS = {"answers": 1e-4, "loss": 1e-3, "statistics": 1e-4,
          "gradients": 1e-3, "20 steps": 1e-3}
NETS = ["resnet18", "resnet34", "resnet50", "mobilenet_v2", "vgg16"]
COMMON = ["-q", "--fold", "all", "--schedule", "constant", "--warmup", "0",
          "--augment", "none", "--dropout", "0", "--weight-decay", "0",
          "--optimizer", "sgd", "--momentum", "0", "--ema", "0", "--select",
          "last", "--no-calibrate", "--dtype", "f32", "--init-norm", "same",
          "--threads", "2"]


def scans(path):
    data = load_file(path)      # NumPy opens datasets as they are
    x = torch.from_numpy(data["images"]).permute(0, 3, 1, 2)
    return (x / 255 - 0.5) / 0.5, torch.from_numpy(data["labels"])


def network(name):
    """A torchvision network for one channel and three classes, no dropout."""
    net = getattr(torchvision.models, name)(num_classes=3)
    first = net.conv1 if name.startswith("resnet") else net.features[0]
    first = first if isinstance(first, torch.nn.Conv2d) else first[0]
    first.weight = torch.nn.Parameter(first.weight[:, :1] * 3)
    first.in_channels = 1
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.8, 1.2)
            torch.nn.init.uniform_(m.bias, -0.2, 0.2)
    return net


def run(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def train(case, out, *more):
    run("busi-train", *COMMON, "-d", case.data, "--device", case.device, "-m",
        case.name, "--init", "w.pth", "-b", str(len(case.x)), "-o", out, *more)


def column(path, name):
    with open(path) as f:
        head = f.readline().rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in f]
    return [row[head.index(name)] for row in rows]


def gap(ours, theirs):
    ours, theirs = torch.as_tensor(ours).double(), torch.as_tensor(theirs)
    theirs = theirs.double()
    return ((ours - theirs).norm() / theirs.norm()).item()


class Case:
    """One network on one backend, and the scans it sees."""

    def __init__(self, name, device):
        self.name, self.device = name, device
        self.data = "224.safetensors" if name == "vgg16" else "64.safetensors"
        self.x, self.y = scans(self.data)

    def loss(self, net, smoothing):
        x = self.x.to(next(net.parameters()).dtype)
        return F.cross_entropy(net(x), self.y, label_smoothing=smoothing)


def answers(case, path):
    run("busi-predict", "-q", "-m", path, "-d", case.data, "--device",
        case.device, "--dtype", "f32", "--allow-train-rows", "-o", "pred.tsv")
    return torch.tensor([[float(v) for v in column("pred.tsv", c)] for c in
                         ("p_benign", "p_malignant", "p_normal")]).T


def start(net, dtype):
    net.load_state_dict(torch.load("w.pth"))
    net.to(dtype).train()
    return net


def gradients(case, net, dtype):
    start(net, dtype).zero_grad()
    loss = case.loss(net, 0.1)
    loss.backward()
    return loss.item(), torch.cat([v.grad.double().flatten()
                                   for v in net.parameters()])


def one_step(case, net):
    """Loss, gradients and running statistics of one batch."""
    train(case, "step.safetensors", "--lr", "1", "-e", "1",
          "--label-smoothing", "0.1", "--log", "log.tsv")
    before, after = torch.load("w.pth"), load_tensors("step.safetensors")
    ours = torch.cat([(before[k] - after[k]).flatten()
                      for k, _ in net.named_parameters()])
    loss, theirs = gradients(case, net, torch.float32)
    statistics = [gap(after[k], v) for k, v in net.named_buffers()
                  if "running" in k]
    _, exact = gradients(case, net, torch.float64)
    found = {"loss": gap([float(v) for v in column("log.tsv", "train_loss")],
                         [loss]),
             "gradients": (gap(ours, exact), gap(theirs, exact))}
    if statistics:
        found["statistics"] = max(statistics)
    return found


def torch_curve(case, net, dtype):
    start(net, dtype)
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9,
                          weight_decay=1e-3)
    losses = []
    for _ in range(20):
        opt.zero_grad()
        loss = case.loss(net, 0)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return losses


def curve(case, net):
    """20 steps of SGD with momentum, all scans in each."""
    train(case, "step.safetensors", "--lr", "0.01", "--momentum", "0.9",
          "--weight-decay", "0.001", "-e", "20", "--label-smoothing", "0",
          "--log", "log.tsv")
    ours = [float(v) for v in column("log.tsv", "train_loss")]
    theirs = torch_curve(case, net, torch.float32)
    return gap(ours, torch_curve(case, net, torch.float64)), \
        gap(theirs, torch_curve(case, net, torch.float64))


def compare(case, net):
    found = {}
    train(case, "still.safetensors", "--lr", "0", "-e", "1")
    net.float()
    state = load_tensors("still.safetensors")   # these three lines load ours
    state.pop("seen")
    net.load_state_dict(state, strict=False)
    net.eval()
    with torch.no_grad():
        found["answers"] = gap(answers(case, "still.safetensors").log(),
                               F.log_softmax(net(case.x), 1))
    found.update(one_step(case, net))
    if case.device == "cpu" and case.name != "vgg16":
        found["20 steps"] = curve(case, net)
    return found


def figures(found, what):
    """Ours, PyTorch's own where that is known, and whether it is too much."""
    if what not in found:
        return "", "", False
    value = found[what]
    if not isinstance(value, tuple):
        return f"{value:.1e}", "", value > LIMITS[what]
    ours, theirs = value
    return f"{ours:.1e}", f"({theirs:.0e})", ours > max(LIMITS[what],
                                                        3 * theirs)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(2)
    bad = False
    print(f"{'network':14}{'backend':8}" +
          "".join(f"{k:>11}{'':8}" for k in LIMITS))
    for name in NETS:
        net = network(name)
        torch.save(net.state_dict(), "w.pth")
        for device in ("cpu", "ref"):
            if device == "ref" and name not in ("resnet18", "mobilenet_v2"):
                continue            # plain C: minutes each
            found = compare(Case(name, device), net)
            line = f"{name:14}{device:8}"
            for what in LIMITS:
                ours, theirs, over = figures(found, what)
                line += f"{ours:>11} {theirs:7}"
                bad = bad or over
            print(line.rstrip(), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    sys.exit(main())
