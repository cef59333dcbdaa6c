"""Avalanche: its strategies train binary networks with metaplasticity, its benchmarks and ours are each other's.

Needs `avalanche-lib`, from 0.6: `pip install 'metaplastic[avalanche]'`.
"""

from metaplastic.integrations.extras import require_avalanche

require_avalanche()

# Only what is below imports Avalanche, so that a missing package is explained above.
from metaplastic.integrations.avalanche.benchmarks import as_benchmark, as_scenario  # noqa: E402
from metaplastic.integrations.avalanche.parameters import adopt  # noqa: E402
from metaplastic.integrations.avalanche.plugin import MetaplasticPlugin  # noqa: E402
from metaplastic.integrations.avalanche.synapses import SynapseMetric  # noqa: E402
from metaplastic.integrations.avalanche.task_outputs import TaskOutputs  # noqa: E402

__all__ = ["MetaplasticPlugin", "SynapseMetric", "TaskOutputs", "adopt", "as_benchmark", "as_scenario"]
