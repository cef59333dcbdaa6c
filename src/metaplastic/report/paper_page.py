"""The page of the paper's figures: a section per study, and a list of those that were not run."""

from collections.abc import Sequence

from metaplastic.experiments import DEVIATIONS, STUDIES, claim, description
from metaplastic.report.origins import said_commit, time_spent
from metaplastic.report.page import Section, Shown, each, identifier, page
from metaplastic.report.studies import StudyRecord

_TITLE = "Synaptic metaplasticity in binarized neural networks: the figures, run again"
_LEAD = (
    "The figures and tables of Laborieux et al. 2021, Nature Communications 12:2549, from records of our own runs. A "
    "claim says what a study is to show; picture and table say what came out. Deviations that it calls those of all "
    f"studies are these: {DEVIATIONS}."
)


def paper_page(studies: Sequence[tuple[StudyRecord, Sequence[Shown]]]) -> str:
    """Write the page.

    Args:
        studies: What was carried out, with its figures, in the order of the page.

    Returns:
        HTML, the same for the same records. Every study of the package is in it; those that are not among `studies`
        are listed as not run.
    """
    sections = [_section(study, shown) for study, shown in studies if shown]
    names = {study.name for study, shown in studies if shown}
    absent = [name for name in STUDIES if name not in names]
    origins = [origin for study, _ in studies for origin in study.origins]
    versions = each(f"metaplastic {origin.version}" for origin in origins)
    commits = list(dict.fromkeys(said_commit(origin.commit) for origin in origins if origin.commit))
    made = f"Records made by {versions}{_at(commits) if commits else ''}."
    return page(_TITLE, _LEAD, sections, _absent(absent) if absent else None, made)


def _at(commits: Sequence[str]) -> str:
    if len(commits) == 1:
        return f" at commit {commits[0]}"
    return f" at {len(commits)} different commits: {', '.join(commits)}"


def _section(study: StudyRecord, shown: Sequence[Shown]) -> Section:
    return Section(
        key=identifier(study.key),
        mark=" ".join(part for part in (study.name, study.size.value, study.label) if part),
        title=description(study.name).rstrip("."),
        claim=claim(study.name).removeprefix("Claim").removeprefix(":").strip(),
        facts={
            "Size": study.size.value,
            "Seeds": f"{len(study.seeds)}: {', '.join(map(str, study.seeds))}" if study.seeds else "one published draw",
            "Training and tests": time_spent(study.origins),
            "Package": each(f"metaplastic {origin.version}" for origin in study.origins),
            "Commit": each(said_commit(origin.commit) for origin in study.origins),
            "Machine": each(origin.machine for origin in study.origins),
        },
        commands={"Command": [study.command]},
        remarks={"Panels not run": ", ".join(study.missing)},
        cautions=study.cautions(),
        shown=shown,
    )


def _absent(names: Sequence[str]) -> Section:
    return Section(
        key="not-run",
        mark="not run",
        title="Not run",
        claim="No record of these was given.",
        commands={name: [f"metaplastic run {name}"] for name in names},
        remarks={name: description(name) for name in names},
    )
