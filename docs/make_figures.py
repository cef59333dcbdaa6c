"""Draw the figures of these pages.

Usage: python docs/make_figures.py [FOLDER]
"""

import sys
from pathlib import Path

from metaplastic.optim import CONSOLIDATION_FUNCTIONS, ConsolidationFunction, Tabulated
from metaplastic.report import consolidation_curves, write_png

MEASURED = Tabulated(states=(0.0, 0.5, 1.0, 1.5, 2.0, 3.0), relative_steps=(1.0, 0.81, 0.42, 0.18, 0.07, 0.02))
"""The made-up device of the page on consolidation functions."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    functions: dict[str, ConsolidationFunction] = {**CONSOLIDATION_FUNCTIONS, "tabulated": MEASURED}
    for name, function in functions.items():
        write_png(consolidation_curves({name: function}), folder / f"consolidation-{name}.png")
        print(folder / f"consolidation-{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "figures")
