"""The published training step, transcribed: what every figure of speed is compared with.

Network, optimizer and data pipeline do, operation by operation and copy by copy, what the code published with the paper
does (version of August 2023, continual-learning folder). Only calling conventions that PyTorch has removed are changed.
Nothing else in this package uses it.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset


class _SignActivation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = x.sign()
        ctx.save_for_backward(x)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed = gradients[0].clone()
        passed[x.abs() > 1.0] = 0
        return passed


class PublishedLinear(nn.Linear):
    """Linear layer whose parameter is overwritten by its signs in every forward pass, with the hidden weights aside."""

    def forward(self, input: Tensor) -> Tensor:
        """Multiply by the signs, having written them into the parameter."""
        if input.size(1) != 784:
            input.data = input.data.sign()
        weight: Any = self.weight
        if not hasattr(weight, "org"):
            weight.org = weight.data.clone()
        weight.data = weight.org.sign()
        return functional.linear(input, weight)


class PublishedNetwork(nn.Module):
    """The published fully connected network.

    Args:
        sizes: Widths from input to output; the input is 784 wide.
        width: Width of the uniform distribution that weights are drawn from.
    """

    def __init__(self, sizes: list[int], width: float = 0.1) -> None:
        super().__init__()
        self.sizes = sizes
        pairs = list(itertools.pairwise(sizes))
        self.linear = nn.ModuleList(PublishedLinear(fan_in, fan_out, bias=False) for fan_in, fan_out in pairs)
        self.norm = nn.ModuleList(nn.BatchNorm1d(fan_out, track_running_stats=False) for _, fan_out in pairs)
        for layer in self.linear:
            nn.init.uniform_(layer.get_parameter("weight"), a=-width / 2, b=width / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        x = x.view(-1, self.sizes[0])
        for depth, (linear, norm) in enumerate(zip(self.linear, self.norm, strict=True)):
            x = norm(linear(x))
            if depth != len(self.linear) - 1:
                x = _SignActivation.apply(x)
        return x


class PublishedAdam(torch.optim.Optimizer):
    """The published metaplastic Adam, temporaries included.

    Args:
        params: Parameters.
        lr: Learning rate.
        meta: Metaplasticity of every weight that is not one-dimensional.
        weight_decay: Strength of the L2 penalty.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, meta: float, weight_decay: float) -> None:
        super().__init__(
            params, {"lr": lr, "betas": (0.9, 0.999), "meta": meta, "eps": 1e-8, "weight_decay": weight_decay}
        )

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                grad, state = p.grad.data, self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(p.data)
                    state["exp_avg_sq"] = torch.zeros_like(p.data)
                exp_avg, exp_avg_sq = state["exp_avg"], state["exp_avg_sq"]
                beta1, beta2 = group["betas"]
                state["step"] += 1
                if group["weight_decay"] != 0:
                    grad.add_(p.data, alpha=group["weight_decay"])
                exp_avg.mul_(beta1).add_(grad, alpha=1 - beta1)
                exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                denom = exp_avg_sq.sqrt().add_(group["eps"])
                step_size = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
                binary = torch.sign(p.data)
                condition = torch.mul(binary, exp_avg) > 0.0
                if p.dim() == 1:
                    p.data.addcdiv_(exp_avg, denom, value=-step_size)
                    continue
                factor = torch.ones_like(p.data) - torch.pow(torch.tanh(group["meta"] * torch.abs(p.data)), 2)
                decayed = torch.mul(factor, exp_avg)
                p.data.addcdiv_(torch.where(condition, decayed, exp_avg), denom, value=-step_size)


def swap_in_hidden(network: nn.Module) -> None:
    """Copy the hidden weights into the parameters, as is done before every step of the optimizer."""
    for p in list(network.parameters()):
        if hasattr(p, "org"):
            p.data.copy_(p.org)


def keep_hidden(network: nn.Module) -> None:
    """Copy the moved parameters back to where the hidden weights are kept, as is done after every step."""
    for p in list(network.parameters()):
        if hasattr(p, "org"):
            p.org.copy_(p.data)


class PermutedImages(TorchDataset[tuple[Tensor, int]]):
    """Images that are permuted one by one, from an image file's object as torchvision hands it out.

    Args:
        images: `[samples, 28, 28]`.
        labels: `[samples]`.
        permutation: `[784]`.
    """

    def __init__(
        self,
        images: UInt8[Tensor, "samples height width"],
        labels: Int64[Tensor, " samples"],
        permutation: Int64[Tensor, " pixels"],
    ) -> None:
        self.images, self.labels, self.permutation = images, labels, permutation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "1 28 28"], int]:
        image = Image.fromarray(self.images[index].numpy())
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(28, 28, 1).permute(2, 0, 1).contiguous()
        x = pixels.to(torch.float32).div(255)
        x = x.view(-1)[self.permutation].view(1, 28, 28)
        mean, std = torch.as_tensor((0.0,)), torch.as_tensor((1.0,))
        return x.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1)), int(self.labels[index])


def published_batches(images: PermutedImages, batch_size: int, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Deal batches as the published code does, by one worker process.

    Args:
        images: The samples.
        batch_size: Samples per batch.
        shuffle: Whether they come in random order.

    Returns:
        Batches of inputs and labels.
    """
    return iter(DataLoader(images, batch_size=batch_size, shuffle=shuffle, num_workers=1))


def published_test(network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> int:
    """Count right predictions as the published code does, loss and gradient graph included.

    Args:
        network: The network.
        batches: What it is tested on.

    Returns:
        The number of right predictions.
    """
    network.eval()
    total, correct = 0.0, torch.tensor(0)
    for data, target in batches:
        output = network(data)
        total += functional.cross_entropy(output, target, reduction="sum").item()
        predicted = output.data.max(1, keepdim=True)[1]
        correct += predicted.eq(target.data.view_as(predicted)).sum()
    return int(correct)
