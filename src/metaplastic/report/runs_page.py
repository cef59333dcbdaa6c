"""The page of any set of runs: a section for every set of tests."""

from collections.abc import Sequence
from dataclasses import replace

from metaplastic.choices import unknown
from metaplastic.experiments.method_config import Method
from metaplastic.report.commands import group_commands
from metaplastic.report.figures import Band, accuracy_curves, final_bars
from metaplastic.report.flags import flags
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.heat_map import heat_map_figure
from metaplastic.report.labels import compared, short_labels
from metaplastic.report.memory import memory_figure
from metaplastic.report.origins import Origin, read_origin, require_one_kind, said_commit, time_spent
from metaplastic.report.page import Section, Table, each, page
from metaplastic.report.page_figure import PageFigure, ends, shown
from metaplastic.report.paired import paired_notes, paired_rows
from metaplastic.report.paper_tasks import stage_rows
from metaplastic.report.style import capital
from metaplastic.report.synapses import CONSOLIDATION, FLIP_RATE, synapse_figure
from metaplastic.report.table import missing, rows, short_names, told

_LEAD = (
    "From the records of these runs: accuracy while tasks are learned and at the end, what is left of each task after "
    "each, what the methods keep in memory, and what happened to the synapses."
)
_LONGEST_LABEL = 26  # longer ones would crowd figures and tables
_MOST_TESTS = 10  # more columns than this are for the figures


def runs_page(comparisons: Sequence[Comparison], against: str | None = None) -> str:
    """Write the page.

    Args:
        comparisons: Groups of runs, one comparison for every set of tests.
        against: Label of the group that the others are tested against; None takes the plain network, or
            else the first that learns one task after the other.

    Returns:
        HTML, the same for the same records.

    Raises:
        ValueError: When no group has that label, records were made by different versions of the package or of torch,
            or one says nothing of where it came from.
    """
    shortened = [_shortened(comparison) for comparison in comparisons]
    names = [group.label for comparison, _ in shortened for group in comparison.groups]
    if against is not None and against not in names:
        raise ValueError(unknown("group to test against", against, names))
    groups = [group for comparison in comparisons for group in comparison.groups]
    require_one_kind([read_origin(run.folder) for group in groups for run in group.runs])
    sections = [_section(*one, f"tests-{place}", against) for place, one in enumerate(shortened, 1)]
    runs = sum(len(group.runs) for group in groups)
    title = each(capital(comparison.title) for comparison in comparisons)
    return page(f"{title}: {runs} run{'s' if runs > 1 else ''}", _LEAD, sections)


def _shortened(comparison: Comparison) -> tuple[Comparison, dict[str, str]]:
    """Give groups short labels; say of each what the label leaves out."""
    names = [group.label for group in comparison.groups]
    configs = {repr(compared(group.first.config)): group.first.config for group in comparison.groups}
    if max(map(len, names)) <= _LONGEST_LABEL or len(configs) < len(names):
        return comparison, {}
    short = short_labels(list(configs.values()))
    groups = [replace(group, label=label) for group, label in zip(comparison.groups, short, strict=True)]
    settings = {label: name for label, name in zip(short, names, strict=True) if label != name}
    return replace(comparison, groups=tuple(groups)), settings


def _section(comparison: Comparison, settings: dict[str, str], key: str, against: str | None) -> Section:
    groups = comparison.groups
    origins = [read_origin(run.folder) for group in groups for run in group.runs]
    figures = run_figures(comparison, against)
    names = {figure.name for figure in figures}
    return Section(
        key=key,
        mark=comparison.title,
        title=" \u00b7 ".join(group.label for group in groups),
        facts=_facts(comparison, origins),
        remarks={
            "What was known": " ".join(told(comparison)),
            "Versions": _versions(origins),
            "Curves": "" if "curves" in names else " ".join(comparison.without_curves()),
            "Memory": "" if "memory" in names else "Not recorded.",
        },
        commands={f"Command for {settings.get(group.label, group.label)}": group_commands(group) for group in groups},
        cautions=flags(comparison, origins),
        shown=[shown(f"{key}-{figure.name}", figure) for figure in figures],
    )


def _facts(comparison: Comparison, origins: Sequence[Origin]) -> dict[str, str]:
    seeds = [[run.config.seed for run in group.runs] for group in comparison.groups]
    return {
        "Seeds": each(", ".join(map(str, row)) for row in seeds),
        "Training and tests": time_spent(origins),
        "Commit": each(said_commit(origin.commit) for origin in origins),
        "Machine": each(origin.machine for origin in origins),
    }


def _versions(origins: Sequence[Origin]) -> str:
    pairs = dict.fromkeys(pair for origin in origins for pair in origin.versions)
    return ", ".join(f"{package} {version}" for package, version in pairs)


def run_figures(comparison: Comparison, against: str | None = None) -> list[PageFigure]:
    """Draw what the page shows of runs on one set of tests.

    Args:
        comparison: Groups of runs.
        against: Label of the group that the others are tested against; None takes the plain network, or
            else the first that learns one task after the other.

    Returns:
        Figures; those for which the records hold nothing are left out.
    """
    found = [
        _final(comparison, against),
        _curves(comparison),
        heat_map_figure(comparison),
        synapse_figure(comparison, CONSOLIDATION),
        synapse_figure(comparison, FLIP_RATE),
        memory_figure(comparison),
    ]
    return [figure for figure in found if figure is not None]


def _curves(comparison: Comparison) -> PageFigure | None:
    if not any(group.has_curves for group in comparison.groups):
        return None
    return PageFigure(
        "curves",
        "Accuracy on each test while the tasks are learned",
        f"Lines of test accuracy against epochs, one panel per group. {ends(comparison)}",
        accuracy_curves(comparison, Band.INTERVAL),
        [["", "after", *comparison.tests], *(row for group in comparison.groups for row in stage_rows(group))],
        ("Accuracy in %, mean over the seeds, where training on a task had ended.", *comparison.without_curves()),
    )


def _final(comparison: Comparison, against: str | None) -> PageFigure:
    labels = [group.label for group in comparison.groups]
    reference = against if against in labels else _reference(comparison)
    return PageFigure(
        "final",
        "Accuracy at the end",
        f"Bars of test accuracy after the last stage. {ends(comparison)}",
        final_bars(comparison),
        final_table(comparison, reference),
        (*paired_notes(comparison, reference), *missing(comparison)),
    )


def final_table(comparison: Comparison, reference: str) -> Table:
    """Compute the final table: accuracies, and the exact paired test against one group.

    Args:
        comparison: Groups of runs.
        reference: Label of that group.

    Returns:
        A header, then a row per group; single tests come last, and are left out where there are more than ten.
    """
    (header, *body), (paired_header, *paired) = rows(comparison), paired_rows(comparison, reference)
    tests = len(comparison.tests) if len(comparison.tests) <= _MOST_TESTS else 0
    singles = [f"on {name}" for name in short_names(comparison.tests)[:tests]]
    table = [["", "seeds", "average", *paired_header[-3:], *header[-2:], *singles]]
    for cells, pair in zip(body, paired, strict=True):
        table.append([*cells[:2], cells[-3], *pair[-3:], *cells[-2:], *cells[2 : 2 + tests]])
    return table


def _reference(comparison: Comparison) -> str:
    """The plain network if it is there, else the first group that learns one task after the other; complete ones."""
    complete = [group for group in comparison.groups if group.complete]
    groups = [group for group in complete if group.first.config.method is not Method.JOINT]
    groups = groups or complete or list(comparison.groups)
    return next((group for group in groups if _is_plain(group)), (groups or comparison.groups)[0]).label


def _is_plain(group: Group) -> bool:
    config = group.first.config
    plain = config.method is Method.FINETUNE and not config.network.frozen
    return plain and not any(config.optimizer.metaplasticity)
