"""A sweep on two processes against one, and one that is killed on the way.

    python benchmarks/sweep_speed.py FOLDER        # forty runs, some six minutes; FOLDER/sweep-speed.json

Four values of m on permuted digits, ten seeds, the plain engine, one thread a run. The same command is run with one
process and with two, each in a process of its own, start and imports included; then with two again, killed without
warning at two moments drawn at random while runs are at work, and begun again after each. The result files of all three
sweeps, trained networks included, must be the same bytes.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from metaplastic.experiments.environment import environment
from metaplastic.files import write_json

RESULTS = ("config.json", "accuracy.csv", "summary.json", "network.safetensors", "results.csv", "runs.csv")


def command(folder: Path, jobs: int, options: argparse.Namespace) -> list[str]:
    words = ["sweep", "permuted-digits", "--epochs", options.epochs, "--engine", "plain", "--quiet"]
    words += ["--over", "metaplasticity=0,5,10,15", "--seeds", options.seeds, "--jobs", jobs, "--out", folder]
    return [sys.executable, "-m", "metaplastic", *map(str, words)]


def seconds(folder: Path, jobs: int, options: argparse.Namespace) -> float:
    start = time.perf_counter()
    subprocess.run(command(folder, jobs, options), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def complete(folder: Path) -> int:
    return len(list(folder.glob("runs/*/summary.json")))


def kill_between(folder: Path, least: float, most: float, options: argparse.Namespace) -> dict[str, Any]:
    """Begin or go on, and kill when a share of the runs drawn at random is complete and a moment more has passed."""
    source = random.SystemRandom()
    share, moment = source.uniform(least, most), source.uniform(0, 2)
    process = subprocess.Popen(command(folder, 2, options), stdout=subprocess.DEVNULL)
    while complete(folder) < share * 4 * options.seeds:
        if process.poll() is not None:
            raise SystemExit("the sweep ended before it was killed; give more seeds or epochs")
        time.sleep(0.05)
    time.sleep(moment)
    process.kill()
    process.wait()
    at_work = len(list(folder.glob("runs/*/checkpoint.safetensors"))) - complete(folder)
    return {"complete": complete(folder), "at_work": at_work, "ended_before": process.returncode == 0}


def results(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.name in RESULTS)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--seeds", type=int, default=10, help="of each of the four values of m")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    places = {name: options.folder / name for name in ("one", "two", "killed")}
    found: dict[str, Any] = {"runs": 4 * options.seeds, "epochs": options.epochs, "environment": environment()}
    found["seconds"] = {name: seconds(places[name], jobs, options) for name, jobs in (("one", 1), ("two", 2))}
    found["speed_up"] = found["seconds"]["one"] / found["seconds"]["two"]
    found["killed"] = [kill_between(places["killed"], *range_, options) for range_ in ((0.1, 0.4), (0.5, 0.8))]
    found["seconds"]["rest_after_kills"] = seconds(places["killed"], 2, options)
    expected = results(places["one"])
    found["files_compared"] = len(expected)
    found["same_results"] = {name: results(places[name]) == expected for name in ("two", "killed")}
    write_json(options.folder / "sweep-speed.json", found, indent=2)
    shutil.copy(places["one"] / "results.csv", options.folder / "results.csv")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
