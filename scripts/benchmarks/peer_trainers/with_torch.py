"""rigl-torch and In-Time Over-Parameterization (ITOP), for `peers.py`."""

from importlib import metadata
import types

import networks
import numpy as np
import torch
from torch import nn

OPTIONS = {"lr": 0.01, "momentum": 0.9, "nesterov": True}


class _Peer:
    """What the libraries share: networks, and the loop of training.

    A subclass returns from `_attach` a function that makes the optimizer's
    step, or updates the masks, once gradients are there.
    """

    def __init__(self, settings):
        self._settings = settings

    def train(self, x, y):
        """Train; return how to predict, and how to get the kernels."""
        settings = self._settings
        torch.manual_seed(settings["seed"])
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        model = _lenet()
        optimizer = torch.optim.SGD(
            model.parameters(), settings["rate"], 0.9, nesterov=True
        )
        # Before the masks: it cannot wrap a step that rigl-torch has wrapped.
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, settings["steps"]
        )
        advance = self._attach(model, optimizer, settings)
        loss_of = nn.CrossEntropyLoss()
        for rows in networks.orders(
            torch.randperm, len(x), settings["batch"], settings["steps"]
        ):
            optimizer.zero_grad()
            loss_of(model(x[rows]), y[rows]).backward()
            advance()
            rate.step()

        def predict(images):
            with torch.no_grad():
                return model(torch.from_numpy(images)).argmax(1).numpy()

        return predict, lambda: [w.detach().numpy() for w in _kernels(model)]

    def steps(self, x, y):
        """Return functions that make a dense and a masked step."""
        x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        y = torch.from_numpy(y)
        never = {"sparsity": 0.9, "interval": 10**9, "end": 10**10, "drop": 0.3}
        runs = []
        for masked in (False, True):
            model = ResNet18()
            optimizer = torch.optim.SGD(model.parameters(), **OPTIONS)
            advance = optimizer.step
            if masked:
                advance = self._attach(model, optimizer, never)
            runs.append(_step(model, optimizer, advance, x, y))
        return runs

    def _resnet50(self):
        """Return the layers of ResNet-50 with gradients and momentum."""
        model = nn.ModuleList()
        for *size, n_in, n_out in networks.resnet50_kernels():
            layer = (
                nn.Conv2d(n_in, n_out, size[0], bias=False)
                if size
                else nn.Linear(n_in, n_out)
            )
            model.append(layer)
        optimizer = torch.optim.SGD(model.parameters(), **OPTIONS)
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        optimizer.step()
        return model, optimizer


class RiglTorch(_Peer):
    """RigL as documented: uniform, with a dense first layer."""

    method = "RigL"
    distribution = "uniform, first layer dense"

    def version(self):
        """Return the versions that matter."""
        found = (
            ""
            if self._settings["path"]
            else f" {metadata.version('rigl-torch')}"
        )
        return f"rigl-torch{found}, PyTorch {torch.__version__}"

    def _attach(self, model, optimizer, settings):
        pruner = self._pruner(model, optimizer, settings)

        def advance():
            if pruner():
                optimizer.step()

        return advance

    def _pruner(self, model, optimizer, settings):
        from rigl_torch import RigL

        return RigL.RigLScheduler(
            model,
            optimizer,
            dense_allocation=1 - settings["sparsity"],
            T_end=settings["end"],
            delta=settings["interval"],
            alpha=settings["drop"],
            ignore_linear_layers=False,
        )

    def update(self):
        """Return a function that updates the masks of ResNet-50."""
        model, optimizer = self._resnet50()
        settings = {"sparsity": 0.9, "interval": 100, "end": 1000, "drop": 0.3}
        pruner = self._pruner(model, optimizer, settings)
        for hook, weight in zip(pruner.backward_hook_objects, pruner.W):
            if hook is not None:
                hook.dense_grad = torch.randn_like(weight)

        def run():
            pruner.step = 99  # the next call is an update
            pruner()

        return run


class RiglTorchERK(RiglTorch):
    """RigL with masks of ERK, which its argument `state_dict` accepts."""

    distribution = "ERK, handed in by `state_dict`"

    def _pruner(self, model, optimizer, settings):
        if "densities" not in settings:
            return super()._pruner(model, optimizer, settings)
        from rigl_torch import RigL

        kernels = _kernels(model)
        masks = [_mask(w, d) for w, d in zip(kernels, settings["densities"])]
        state = {
            "dense_allocation": 1 - settings["sparsity"],
            "S": [1 - density for density in settings["densities"]],
            "N": [weight.numel() for weight in kernels],
            "delta_T": settings["interval"],
            "alpha": settings["drop"],
            "T_end": settings["end"],
            "ignore_linear_layers": False,
            "static_topo": False,
            "sparsity_distribution": "uniform",
            "grad_accumulation_n": 1,
            "step": 0,
            "rigl_steps": 0,
            "backward_masks": masks,
        }
        return RigL.RigLScheduler(model, optimizer, state_dict=state)


class Itop(_Peer):
    """RigL as in ITOP, which has no last update: ended by hand."""

    method = "RigL, on a CPU by a patch"
    distribution = "ERK"

    def __init__(self, settings):
        super().__init__(settings)
        if not torch.cuda.is_available():
            # It calls `cuda()` wherever it makes a tensor.
            torch.Tensor.cuda = lambda tensor, *_, **__: tensor

    def version(self):
        """Return the versions that matter."""
        return f"ITOP, PyTorch {torch.__version__}"

    def _masking(self, model, optimizer, settings):
        from sparselearning import core

        masking = core.Masking(
            optimizer,
            death_rate=settings["drop"],
            death_rate_decay=core.CosineDecay(
                settings["drop"], settings["end"]
            ),
            growth_mode="gradient",
            redistribution_mode="none",
            args=types.SimpleNamespace(
                fix=False, update_frequency=settings["interval"]
            ),
        )
        masking.add_module(
            model,
            density=1 - settings["sparsity"],
            sparse_init=settings.get("distribution", "ERK"),
        )
        return masking

    def _attach(self, model, optimizer, settings):
        masking = self._masking(model, optimizer, settings)

        def advance():
            masking.step()
            if masking.steps == settings["end"]:
                masking.prune_every_k_steps = None

        return advance

    def update(self):
        """Return a function that updates the masks of ResNet-50."""
        settings = {"sparsity": 0.9, "interval": 100, "end": 1000, "drop": 0.3}
        settings["distribution"] = "uniform"
        return self._masking(*self._resnet50(), settings).truncate_weights


class ResNet18(nn.Module):
    """ResNet-18 with a 3x3 stem, for images of 32x32."""

    def __init__(self):
        super().__init__()
        channels, blocks = 64, []
        for filters, stride, projects in networks.resnet18_blocks():
            blocks.append(Block(channels, filters, stride, projects))
            channels = filters
        self.stem = _conv(3, 64, 3)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, 10)

    def forward(self, x):
        """Return the logits."""
        x = self.blocks(torch.relu(self.stem(x)))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """A basic block of a ResNet."""

    def __init__(self, n_in, filters, stride, projects):
        super().__init__()
        self.first = _conv(n_in, filters, 3, stride)
        self.second = _conv(filters, filters, 3)
        self.shortcut = nn.Sequential()
        if projects:
            self.shortcut = _conv(n_in, filters, 1, stride)

    def forward(self, x):
        """Return the features."""
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.shortcut(x))


def _conv(n_in, n_out, size, stride=1):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(n_out),
    )


def _lenet():
    n_in, n_first, n_second, n_classes = networks.LENET
    return nn.Sequential(
        nn.Linear(n_in, n_first),
        nn.ReLU(),
        nn.Linear(n_first, n_second),
        nn.ReLU(),
        nn.Linear(n_second, n_classes),
    )


def _kernels(model):
    return [weight for weight in model.parameters() if weight.ndim > 1]


def _mask(weight, density):
    kept = torch.randperm(weight.numel())[: round(density * weight.numel())]
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[kept] = True
    return mask.reshape(weight.shape)


def _step(model, optimizer, advance, x, y):
    loss_of = nn.CrossEntropyLoss()

    def run():
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        advance()
        return loss.item()

    return run


PEERS = {
    "rigl_torch": RiglTorch,
    "rigl_torch_erk": RiglTorchERK,
    "itop": Itop,
}
