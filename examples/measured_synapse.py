"""A synapse that was measured: its curve from a CSV file in place of the published consolidation function.

The curve here is made up for the example: a device whose relative step falls from 1 to 0.02 as its state grows.
"""

import tempfile
from pathlib import Path

import metaplastic as mp

CURVE = """state,relative_step
0.0,1.00
0.5,0.81
1.0,0.42
1.5,0.18
2.0,0.07
3.0,0.02
"""


def final_accuracy(metaplasticity: float, device: mp.Tabulated) -> float:
    """Learn four permutations of digits with the device; return the mean accuracy on them at the end."""
    scenario = mp.permuted(mp.load("digits"), tasks=4, seed=0)
    net = mp.BinaryMLP([64, 256, 10], norm="layer")
    groups = mp.param_groups(net, metaplasticity=metaplasticity)
    optimizer = mp.MetaplasticAdam(groups, lr=5e-3, consolidation=device)
    return float(mp.train(net, scenario, optimizer, epochs=12).accuracy[-1].mean())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.csv"
        path.write_text(CURVE)
        device = mp.Tabulated.from_csv(path)
    for m in (0.0, 10.0, 30.0):
        print(f"state = {m:4.1f} |hidden weight|: {100 * final_accuracy(m, device):.1f} % over four tasks")
