"""What stands in front of the layers of any model and behind them, found by following values through its forward."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from metaplastic.nn.conv import BinaryConv2d
from metaplastic.nn.linear import BinaryLinear

LAYERS = (nn.Linear, nn.Conv2d, BinaryLinear, BinaryConv2d)
"""What values are followed between."""


@dataclass(frozen=True)
class Step:
    """Something that values pass between two layers.

    Args:
        kind: Name of the class of a module, or of a function: "ReLU", "relu", "flatten".
        name: Dotted name of the module; empty for a function.
        module: A copy of the module, for what can be read from it; None for a function.
        reaches: Names of the layers that its output goes to, past steps that leave signs as they are; "" stands for
            anything else.
    """

    kind: str
    name: str = ""
    module: nn.Module | None = None
    reaches: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" if self.name else f"{self.kind}()"


@dataclass(frozen=True)
class Neighbours:
    """What values pass before and behind a layer, nearest first, as far as there is one way only.

    Args:
        before: From the last other layer or the place where values come together.
        behind: Up to the next other layer or the place where values part.
        calls: How many times the layer is used.
    """

    before: tuple[Step, ...] = ()
    behind: tuple[Step, ...] = ()
    calls: int = 1


@dataclass
class Dataflow:
    """What was found in a model.

    Args:
        neighbours: By name of a layer, in the order of their first use.
        read: Names of modules whose parameters are read past their forward.
        whole: Whether the whole model was followed, and not its parts by themselves.
    """

    neighbours: dict[str, Neighbours] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    whole: bool = True


def follow(model: nn.Module) -> Dataflow:
    """Follow values through a model without computing any.

    Where its forward branches on values, which cannot be followed, its parts are followed one by one.

    Args:
        model: Any module; its forward is run with stand-ins for tensors.

    Returns:
        What stands in front of its layers and behind them.

    Example:
        >>> flow = follow(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
        >>> [str(step) for step in flow.neighbours["2"].before]
        ["ReLU '1'"]
    """
    flow = Dataflow()
    # A forward may leave stand-ins behind in attributes of the model, so it is run in a copy, of the same tensors.
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    _follow(copy.deepcopy(model, dict(shared)), "", flow)
    return flow


class _Tracer(fx.Tracer):
    """Goes into whatever has parts; what has none is one step, whatever it does inside."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(m.children()) or super().is_leaf_module(m, module_qualified_name)


def _follow(module: nn.Module, name: str, flow: Dataflow) -> None:
    if not any(module.children()):
        return
    try:
        graph = _Tracer().trace(module)
    except Exception:  # forward is anybody's code, and may fail in any way when it is given no tensor
        flow.whole = False
        for part, child in module.named_children():
            _follow(child, _join(name, part), flow)
        return
    _read_graph(graph, module, name, flow)


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _read_graph(graph: fx.Graph, root: nn.Module, name: str, flow: Dataflow) -> None:
    nodes = _Nodes(root, name)
    for node in graph.nodes:
        if node.op == "get_attr":
            flow.read.add(_join(name, str(node.target).rpartition(".")[0]))
        if nodes.is_layer(node):
            found = _join(name, str(node.target))
            earlier = flow.neighbours.get(found)
            here = Neighbours(nodes.before(node), nodes.behind(node))
            flow.neighbours[found] = here if earlier is None else _both(earlier, here)


def _both(one: Neighbours, other: Neighbours) -> Neighbours:
    """Keep what a layer that is used twice has in front of it in either place, and behind it in none."""
    return Neighbours(tuple(dict.fromkeys((*one.before, *other.before))), (), one.calls + other.calls)


class _Nodes:
    """The nodes of a graph, seen as layers and steps."""

    def __init__(self, root: nn.Module, name: str) -> None:
        self.root, self.name = root, name

    def module(self, node: fx.Node) -> nn.Module | None:
        return self.root.get_submodule(str(node.target)) if node.op == "call_module" else None

    def is_layer(self, node: fx.Node) -> bool:
        return isinstance(self.module(node), LAYERS)

    def kind(self, node: fx.Node) -> str:
        module = self.module(node)
        if module is not None:
            return type(module).__name__
        return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))

    def step(self, node: fx.Node) -> Step:
        module = self.module(node)
        # A module that is used in several places goes wherever any of them goes.
        same = [node] if module is None else [other for other in node.graph.nodes if self.module(other) is module]
        reaches = frozenset().union(*(self._reached(use) for use in same))
        return Step(self.kind(node), "" if module is None else _join(self.name, str(node.target)), module, reaches)

    def before(self, layer: fx.Node) -> tuple[Step, ...]:
        return self._walk(layer, _inputs)

    def behind(self, layer: fx.Node) -> tuple[Step, ...]:
        return self._walk(layer, _users)

    def _walk(self, start: fx.Node, onwards: Callable[[fx.Node], list[fx.Node]]) -> tuple[Step, ...]:
        steps: list[Step] = []
        nodes: list[Any] = onwards(start)
        while len(nodes) == 1 and self._is_step(nodes[0]):
            steps.append(self.step(nodes[0]))
            nodes = onwards(nodes[0])
        return tuple(steps)

    def _is_step(self, node: fx.Node) -> bool:
        return node.op.startswith("call") and not self.is_layer(node) and len(_inputs(node)) == 1

    def _reached(self, node: fx.Node) -> frozenset[str]:
        ends: set[str] = set()
        for user in _users(node):
            if self.is_layer(user):
                ends.add(_join(self.name, str(user.target)))
            elif self._is_step(user) and self.kind(user).lower() in _SIGN_KEEPING:
                ends |= self._reached(user)
            else:
                ends.add("")
        return frozenset(ends)


def _inputs(node: fx.Node) -> list[fx.Node]:
    return [other for other in node.all_input_nodes if not _is_size(other)]


def _users(node: fx.Node) -> list[fx.Node]:
    return [other for other in node.users if not _is_size(other)]


def _is_size(node: fx.Node) -> bool:
    """Tell whether a node is a number about a shape, as in `x.view(x.size(0), -1)`, and no value on its way."""
    if node.target in ("size", "dim", "numel") or node.target is getattr:
        return True
    return node.op == "call_function" and bool(node.all_input_nodes) and all(map(_is_size, node.all_input_nodes))


_SIGN_KEEPING = {
    "identity",
    "flatten",
    "unflatten",
    "reshape",
    "view",
    "contiguous",
    "squeeze",
    "unsqueeze",
    "permute",
    "transpose",
    "dropout",
    "dropout1d",
    "dropout2d",
    "maxpool2d",
    "max_pool2d",
    "avgpool2d",
    "avg_pool2d",
    "adaptiveavgpool2d",
    "adaptive_avg_pool2d",
    "adaptivemaxpool2d",
    "adaptive_max_pool2d",
    "mean",
}
"""What makes no negative value of values that are none, by the lower case of its name."""


def keeps_signs(step: Step) -> bool:
    """Tell whether a step leaves values that are not negative so.

    Args:
        step: A step.

    Returns:
        True for pooling, dropout and changes of shape.

    Example:
        >>> keeps_signs(Step("MaxPool2d")), keeps_signs(Step("Linear"))
        (True, False)
    """
    return step.kind.lower() in _SIGN_KEEPING
