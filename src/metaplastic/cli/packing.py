"""The commands around packed networks: pack, export, predict, summary, verify."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from metaplastic.cli.options import parse

if TYPE_CHECKING:
    from metaplastic.packed import PackedNetwork


@dataclasses.dataclass(frozen=True)
class PackOptions:
    """Pack the trained network of a run: one bit a weight, and integer thresholds in the place of normalisation."""

    run: Positional[Path]
    """Folder of the run."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write; by default packed.safetensors in the run's folder."""
    data_dir: Path | None = None
    """Where the data lie; by default METAPLASTIC_DATA, then the cache."""


def pack(words: list[str]) -> None:
    """Pack a trained network.

    Args:
        words: What follows the command.
    """
    options = parse(PackOptions, words, "pack")
    from metaplastic.experiments import pack_run

    network = pack_run(options.run, data_dir=options.data_dir)
    print(network.summary())
    print(network.save(options.out or options.run / "packed.safetensors"))


def export(words: list[str]) -> None:
    """Export a packed network.

    Args:
        words: What follows the command.
    """
    from metaplastic.packed.export import Format, export

    @dataclasses.dataclass(frozen=True)
    class ExportOptions:
        """Export a packed network, and verify layer by layer what was written."""

        network: Positional[Path]
        """File of the packed network."""
        format: Format
        """onnx runs wherever ONNX does; onnx-packed is a thirtieth of its size; qonnx is for FINN and hls4ml; c is a
        C99 header for microcontrollers."""
        out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
        """File to write; by default named after the network."""
        task: str | None = None
        """Name or index of the task, for qonnx, where each task has tables of its own."""
        verify: bool = True
        """Run the export on golden vectors."""

    options = parse(ExportOptions, words, "export")
    network = _loaded(options.network)
    path = options.out or options.network.with_suffix(options.format.suffix)
    print(export(network, path, options.format, task=_task(network, options.task), verify=options.verify))


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Predict the class of every sample in a file, one a line."""

    network: Positional[Path]
    """File of the packed network."""
    samples: Positional[Path]
    """A .npz file with an array x (or x_test), uint8 pixels or numbers as the network was trained on; where there are
    labels y (or y_test), integers from 0 in the order of its outputs, the accuracy is shown on standard error."""
    task: str | None = None
    """Name or index of the task, where each task has tables of its own."""


def predict(words: list[str]) -> None:
    """Predict with a packed network.

    Args:
        words: What follows the command.
    """
    options = parse(PredictOptions, words, "predict")
    from metaplastic.packed.samples import predict_file

    network = _loaded(options.network)
    predictions = predict_file(network, options.samples, _task(network, options.task))
    for label in predictions.classes:
        print(label)
    if predictions.remark:
        print(f"no accuracy: {predictions.remark}", file=sys.stderr)
    if predictions.accuracy is not None:
        print(f"accuracy {predictions.accuracy:.2%} of {len(predictions.classes)} samples", file=sys.stderr)


@dataclasses.dataclass(frozen=True)
class SummaryOptions:
    """Show what a packed network takes: parameters, bytes and operations, per layer and in total."""

    network: Positional[Path]
    """File of the packed network."""


def summary(words: list[str]) -> None:
    """Show what a packed network takes.

    Args:
        words: What follows the command.
    """
    network = _loaded(parse(SummaryOptions, words, "summary").network)
    print(network)
    print(network.summary())


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """Verify a packed network: its hashes, and that every backend here agrees; or an export of it, layer by layer."""

    network: Positional[Path]
    """File of the packed network."""
    exported: Positional[Path | None] = None
    """What was exported from it: .onnx, or .h for C, which is compiled and run here: only where you trust it."""
    task: str | None = None
    """Name or index of the task that a qonnx file was made for."""


def verify(words: list[str]) -> None:
    """Verify a packed network, or an export of it.

    Args:
        words: What follows the command.
    """
    options = parse(VerifyOptions, words, "verify")
    network = _loaded(options.network)
    if options.exported is None:
        from metaplastic.packed.verification import verify_backends

        print(f"{options.network} is whole; the same logits by {', '.join(verify_backends(network))}")
        return
    from metaplastic.packed.export import verify

    verify(network, options.exported, task=_task(network, options.task))
    print(f"{options.exported} computes what {options.network} does, in every layer")


def _loaded(path: Path) -> "PackedNetwork":
    from metaplastic.packed import PackedNetwork

    return PackedNetwork.load(path)


def _task(network: "PackedNetwork", word: str | None) -> int | str | None:
    """Take a number for the index of a task, unless there is a task of that name."""
    return int(word) if word is not None and word.isdecimal() and word not in network.tasks else word
