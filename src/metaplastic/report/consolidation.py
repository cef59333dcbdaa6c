"""The consolidation functions as curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from metaplastic.optim import CONSOLIDATION_FUNCTIONS, ConsolidationFunction
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.style import FAINT, look, task_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POINTS = 1201


def consolidation_curves(
    functions: Mapping[str, ConsolidationFunction] = CONSOLIDATION_FUNCTIONS,
    metaplasticities: Sequence[float] = (0.0, 0.5, 1.0, 1.35),
) -> "Figure":
    """Draw consolidation functions against the hidden weight, one panel each and one line per metaplasticity.

    Args:
        functions: Name to function, at least one.
        metaplasticities: Strengths m, each >= 0, per unit of hidden weight.

    Returns:
        A figure over hidden weights from -3 to 3.

    Raises:
        ValueError: When there is nothing to draw.

    Example:
        >>> from metaplastic.optim import TanhSquared
        >>> panel = consolidation_curves({"published": TanhSquared()}, [0.0, 2.0]).axes[0]
        >>> panel.get_title(loc="left"), len(panel.lines)
        ('published', 2)
    """
    if not functions or not metaplasticities:
        raise ValueError(
            f"expected a function and a metaplasticity, got {len(functions)} and {len(metaplasticities)}; name what "
            "is to be drawn"
        )
    hidden = torch.linspace(-3, 3, _POINTS, dtype=torch.float64)
    names = [f"m = {m:g}" for m in metaplasticities]
    with look():
        frame = Frame(len(functions), width=2.3, height=1.6, legend=Frame.legend_width(names), top=0.5)
        figure, panels = frame.open("", "", "")
        colours = task_colours(len(names))
        for panel, (name, function) in zip(panels, functions.items(), strict=True):
            for m, colour, label in zip(metaplasticities, colours, names, strict=True):
                panel.plot(hidden.numpy(), function(hidden, m).numpy(), color=colour, linewidth=1.6, label=label)
            panel.set_title(name)
            panel.set_xlim(-3, 3)
            panel.set_ylim(-0.03, 1.08)
            panel.set_xticks(range(-3, 4))
            panel.set_yticks([0, 0.5, 1])
            panel.grid(color=FAINT, linewidth=0.6)
            panel.set_axisbelow(True)
            panel.set_xlabel("hidden weight")
        for panel in panels[:: frame.across]:
            panel.set_ylabel("factor on a step\nthat would weaken")
        place_legend(figure, panels[0], list(panels[0].lines), "metaplasticity")
    return figure
