"""Formulas as MathML, which browsers draw themselves: no script, no picture, no network."""

from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def mathml(formula: str, display: str) -> str:
    r"""Convert a formula in TeX, to be set within a line or by itself.

    Args:
        formula: The formula.
        display: `inline` or `block`.

    Returns:
        A `math` element.

    Raises:
        ValueError: When the converter does not know an environment, which it takes for letters.
    """
    found = convert(formula, display=display)
    if "<mi>&</mi>" in found:
        raise ValueError(
            f"expected environments that latex2mathml knows, got {formula!r}; use cases or several formulas"
        )
    for bar in ("<mo>&#x0007C;</mo>", '<mo stretchy="false">&#x0007C;</mo>'):  # browsers space it like a relation
        found = found.replace(bar, '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>')
    return found


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: "Sphinx") -> dict[str, bool]:
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
