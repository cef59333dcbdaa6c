"""Many runs: all combinations of values and seeds, on a laptop or a cluster, and the search for good ones."""

from metaplastic.sweeps.axis import Axis, parse_axis, with_fields
from metaplastic.sweeps.backends import Backend, Workers
from metaplastic.sweeps.identity import run_id
from metaplastic.sweeps.plan import PlannedRun, Sweep, setting_label
from metaplastic.sweeps.protocol import Protocol, tuning_config
from metaplastic.sweeps.results import Outcome, Results, SettingResult
from metaplastic.sweeps.search import Among, Between, parse_search
from metaplastic.sweeps.store import State, Store
from metaplastic.sweeps.sweep import run_sweep
from metaplastic.sweeps.tune import Search, Trial, Tuned, tune

__all__ = [
    "Among",
    "Axis",
    "Backend",
    "Between",
    "Outcome",
    "PlannedRun",
    "Protocol",
    "Results",
    "Search",
    "SettingResult",
    "State",
    "Store",
    "Sweep",
    "Trial",
    "Tuned",
    "Workers",
    "parse_axis",
    "parse_search",
    "run_id",
    "run_sweep",
    "setting_label",
    "tune",
    "tuning_config",
    "with_fields",
]
