"""Many runs: all combinations of values and seeds, on a laptop or a cluster, and the search for good ones."""

from metaplastic.sweeps.axis import Axis, parse_axis, with_fields
from metaplastic.sweeps.backends import Backend, Workers
from metaplastic.sweeps.identity import run_id
from metaplastic.sweeps.plan import PlannedRun, Sweep, setting_label
from metaplastic.sweeps.results import Outcome, Results, SettingResult
from metaplastic.sweeps.store import State, Store
from metaplastic.sweeps.sweep import run_sweep

__all__ = [
    "Axis",
    "Backend",
    "Outcome",
    "PlannedRun",
    "Results",
    "SettingResult",
    "State",
    "Store",
    "Sweep",
    "Workers",
    "parse_axis",
    "run_id",
    "run_sweep",
    "setting_label",
    "with_fields",
]
