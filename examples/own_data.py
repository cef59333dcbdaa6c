"""Data of your own: a table in a CSV file, learned as a stream of parts.

Writes such a table (three clouds of points), loads it by its path, and learns it in five parts that are never seen
again.
"""

import csv
import random
import tempfile
from pathlib import Path

import metaplastic as mp


def write_table(path: Path) -> None:
    """Write 1,500 rows of four numbers and a label."""
    source = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["length", "width", "height", "weight", "kind"])
        for _ in range(1500):
            kind = source.choice(["nut", "bolt", "washer"])
            centre = {"nut": 1.0, "bolt": 2.0, "washer": 3.0}[kind]
            rows.writerow([source.gauss(centre, 0.5) for _ in range(4)] + [kind])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "parts.csv"
        write_table(table)
        dataset = mp.load_csv(table, label="kind")
    print(
        f"{len(dataset.train)} training rows, {len(dataset.test)} test rows, classes {', '.join(dataset.class_names)}"
    )
    net = mp.BinaryMLP([4, 128, dataset.classes], norm="layer")
    optimizer = mp.MetaplasticAdam(mp.param_groups(net, metaplasticity=1.0), lr=5e-3)
    result = mp.train(net, mp.stream(dataset, parts=5), optimizer, epochs=5, batch_size=32)
    for part, accuracy in enumerate(result.accuracy[:, 0], start=1):
        print(f"after part {part}: {100 * accuracy:.1f} % of the test rows")
