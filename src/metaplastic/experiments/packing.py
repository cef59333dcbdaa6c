"""From the record of a run to a network of one bit a weight."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from metaplastic.experiments.build import build_learner, build_network, build_scenario
from metaplastic.experiments.record import Record
from metaplastic.packed import Input, PackedNetwork, pack
from metaplastic.packed.states import kept_tasks


def pack_run(folder: Path, *, data_dir: Path | None = None) -> PackedNetwork:
    """Pack the trained network of a run.

    It takes inputs as the run's tasks showed them: where pixels were permuted, permuted ones.

    Args:
        folder: Folder of a complete run.
        data_dir: Where the data lie, whose shape and unit is needed; None looks where `load` looks.

    Returns:
        The packed network, with the names of the tasks that its normalisation kept states for.

    Raises:
        ValueError: When the folder holds no trained network, or one that cannot be packed.
    """
    config, path = Record(folder).config, folder / "network.safetensors"
    if config.method.closed_form:
        raise ValueError(f"expected a binary network in {folder}, got the formula {config.method.value!r}; train one")
    if not path.exists():
        raise ValueError(
            f"expected a trained network at {path}, got none: the run is not complete, or its record was kept without "
            f"it; go on with it by 'metaplastic run --resume {folder}', or run it again by 'metaplastic run --from "
            f"{folder / 'config.json'}'"
        )
    scenario = build_scenario(config, data_dir)
    network = build_network(config, scenario)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"expected the network of {folder} in {path}, got a damaged or another one: {error}"
        ) from error
    names = build_learner(config, network).curriculum(scenario).tasks
    kept = [names[index].name for index in kept_tasks(network)]
    unit = scenario.unit_of_bytes
    shown = Input.REAL if unit is None else Input.BYTES
    kind = Input.SIGNS if config.network.binarize_input else shown
    return pack(network, tasks=kept, input=kind, unit=unit or 1.0, dataset=scenario.name)
