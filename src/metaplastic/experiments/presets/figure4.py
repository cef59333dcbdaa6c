"""Fig. 4 of the paper: one real data set after another, or one half of its classes after the other."""

from dataclasses import replace
from typing import Any

from metaplastic.experiments.config import Config, Family, Network, Optimizer, Reset, Running
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.presets.published import interleaved, sized, two_data_sets, unannounced
from metaplastic.experiments.scenario_config import Features, Sequence, Split
from metaplastic.experiments.study import Panel, Size, Study, TrainingPanel
from metaplastic.nn import NormPolicy, Scope, Statistics
from metaplastic.scenarios import Grouping


def figure_4ab(size: Size = Size.LAPTOP) -> Study:
    """MNIST, then Fashion-MNIST: with metaplasticity both are kept.

    Claim (Fig. 4a, b): with m = 0 MNIST is lost while Fashion-MNIST is learned, with m = 1.5 both are kept. The
    authors' numbers are not available; a memristor version published 97 % and 86 % (arXiv 2306.12142, abstract). Panels
    a and b have the authors' m; `tuned`, on a laptop only, 7 for its fewer steps. `frozen` trains the normalisation
    alone; the `unannounced` panels have layer norm without gain and offset, and nothing told in training or at test,
    with m = 0, with the authors' and, `unannounced-tuned`, on a laptop only, with 9. Of the m tried on held-out images
    of other seeds 7 and 9 learn most of Fashion-MNIST and end at 95 % or more on MNIST (`results/fig4ab-tuning`).
    Deviations: those of all studies.

    Expected: on a laptop MNIST and Fashion-MNIST at the end 15 and 88 % with m = 0, 26 and 88 % with 1.5, 98 and 85 %
    with 7, and with nothing told 22 and 87 % with 1.5, 96 and 80 % with 9 (`results/fig4ab`). At the paper's size, one
    seed, 10 and 89 % with m = 0, 22 and 89 % with 1.5, but 97 % of MNIST by statistics taken anew, where m = 0 has 19
    (`results/fig4ab-paper`).

    Command: `metaplastic run fig4ab --size laptop|paper --seeds 5`; on a laptop 20 to 90 seconds a run on one core, at
    the paper's size some 75 minutes.
    """
    return Study("fig4ab", size, _panels(size, ("mnist", "fashion-mnist")))


def figure_4ab_reversed(size: Size = Size.LAPTOP) -> Study:
    """Fashion-MNIST, then MNIST: the same in the reversed order.

    Claim (supplementary Fig. 6c, d): as in Fig. 4a, b; numbers and text of the supplement are not available.
    Deviations: those of all studies.

    Expected: on a laptop Fashion-MNIST and MNIST at the end 15 and 97 % with m = 0, 15 and 98 % with 1.5, 86 and 93 %
    with 7, and with nothing told 15 and 97 % with 1.5, 82 and 82 % with 9; m was chosen for the other order
    (`results/fig4ab-reversed`).

    Command: `metaplastic run fig4ab-reversed --size laptop|paper --seeds 5`; on a laptop 20 to 60 seconds a run on one
    core, at the paper's size some 75 minutes (estimated).
    """
    return Study("fig4ab-reversed", size, _panels(size, ("fashion-mnist", "mnist")))


def _panels(size: Size, data: tuple[str, str]) -> dict[str, TrainingPanel]:
    configs = {"a": two_data_sets(size, 0.0, data), "b": two_data_sets(size, 1.5, data)}
    return _training(_with_controls(size, configs, told_m=7.0, untold_m=9.0))


def _with_controls(size: Size, configs: dict[str, Config], told_m: float, untold_m: float) -> dict[str, Config]:
    """Add to a plain and a metaplastic network a frozen one and those told nothing, and on a laptop an m for it."""
    plain, metaplastic = configs.values()
    untold = unannounced(metaplastic)
    if size is Size.LAPTOP:
        configs["tuned"] = _with_m(metaplastic, told_m)
    configs["frozen"] = replace(plain, network=replace(plain.network, frozen=True))
    configs["unannounced-plain"] = unannounced(plain)
    configs["unannounced"] = untold
    if size is Size.LAPTOP:
        configs["unannounced-tuned"] = _with_m(untold, untold_m)
    return configs


def _with_m(config: Config, m: float) -> Config:
    return replace(config, optimizer=replace(config.optimizer, metaplasticity=(m,)))


def _training(configs: dict[str, Config]) -> dict[str, TrainingPanel]:
    return {name: TrainingPanel(config) for name, config in configs.items()}


def figure_4cd(size: Size = Size.LAPTOP) -> Study:
    """MNIST, then USPS, few samples of each, by a small convolutional network, beside one for each.

    Claim (Fig. 4c, d): one metaplastic network (m = 1.2) that learns 2,000 images of MNIST, then 1,800 of USPS, is
    compared with a network for each data set; what is expected is that it holds both. c has as many channels as twice
    the small ones, d about as many synapses. The authors' numbers are not available. As theirs, `c` and `d` normalise
    by the batch, in tests too, whose batches are of one data set: a test batch tells the task. `c-told` and `d-told`
    have exact statistics kept per task, which say the same openly. `c-plain` and `d-plain`, with m = 0, are not among
    their commands, and show what is kept without metaplasticity. Deviations: samples are drawn at random, theirs are
    those in a row from a random one on; pixels are binarized to -1 and 1, not 0 and 1; and those of all studies that
    are not of statistics and gains. As theirs, USPS's last test batch is one of 7. On a laptop 60 epochs in place of
    240.

    Expected: on a laptop MNIST and USPS at the end 88 and 89 % in c, 85 and 87 % in d, 82 and 88 % and 81 and 87 % in
    `c-plain` and `d-plain`, and 88 and 82 % by a network for each (`results/fig4cd`); at the paper's size 92 and 87 %,
    89 and 85 %, 82 and 88 % and 78 and 86 %, and 88 and 83 % (`results/fig4cd-paper`).

    Command: `metaplastic run fig4cd --size laptop|paper --seeds 5`; on a laptop 20 seconds to three minutes a run on
    one core, at the paper's size one to seven.
    """
    panels: dict[str, Panel] = {}
    for name, channels in (("c", (12, 20, 30)), ("d", (10, 15, 20))):
        config = _digits(size, ("mnist", "usps"), channels, m=1.2, decay=1e-8)
        told = replace(
            config,
            scenario=Sequence(**_FEW, boundaries=True, task_at_test=True),
            norm=NormPolicy(scope=Scope.PER_TASK, affine=False),
        )
        configs = {name: config, f"{name}-told": told, f"{name}-plain": _with_m(config, 0.0)}
        panels |= _training(configs)
    for data in ("mnist", "usps"):
        panels[f"{data}-alone"] = TrainingPanel(_digits(size, (data,), (6, 10, 15), m=0.0, decay=0.0))
    return Study("fig4cd", size, panels)


_SAMPLES = {"mnist": 2000, "usps": 1800}
_FEW: dict[str, Any] = {"data": ("mnist", "usps"), "samples": tuple(_SAMPLES.values()), "image_side": 28}


def _digits(size: Size, data: tuple[str, ...], channels: tuple[int, ...], m: float, decay: float) -> Config:
    return Config(
        name="fig4cd",
        scenario=Sequence(data, samples=tuple(_SAMPLES[name] for name in data), image_side=28),
        network=Network(Family.BINARY_CONV, hidden=(), channels=channels, binarize_input=True),
        norm=NormPolicy(statistics=Statistics.BATCH, affine=False),
        optimizer=Optimizer(metaplasticity=(m,), weight_decay=decay),
        epochs=sized(size, laptop=60, paper=240),
        batch_size=20,
        running=Running(evaluate_epochs=10, test_batch=100),
    )


def figure_4ef(size: Size = Size.LAPTOP) -> Study:
    """CIFAR-10 features, five classes after five, with and without metaplasticity.

    Claim (Fig. 4e, f), as we expect it: m = 1.8 keeps the first five classes ("vehicles", a horse among them) while the
    others are learned, m = 0 does not. The authors' numbers are not available. All ten outputs answer, but
    normalisation is kept per task and told the task, as theirs; `tuned`, on a laptop only, has m = 24 for its fewer
    steps, the best of 3, 6, 12, 24 and 48 on held-out images of another seed (`results/fig4ef-tuning`; a quarter of a
    layer is consolidated as it is drawn). `frozen` trains the normalisation alone, and the `unannounced` panels have
    layer norm and nothing told, with the same three m. Beside them the two methods in closed form without which a
    class-incremental table is not believed, and joint training. Deviations: those of all studies.

    At the paper's size the features are those of a ResNet-18 pretrained on ImageNet, from a file
    `cifar-10-resnet18.npz` that `metaplastic data features cifar-10` makes where torchvision and its weights are. Its
    recipe is ours, with ResNet-18 in evaluation mode. That of the authors, in training mode, is had with `--authors`,
    in `cifar-10-resnet18-authors.npz`: a panel learns from it with `--data` and that name, the whole study where
    `--out` gave it the name above in a folder of its own, with `--data-dir` and that folder. On a laptop they are 512
    features of fixed random filters of the images in three of the six files of the data set (20,000 to learn from,
    10,000 for tests), whose accuracy is far lower whatever learns from them.

    Expected: at the paper's size by a third party 18 and 77 % of the two halves with m = 0, 87 and 75 % with 1.3; on a
    laptop 12 and 56 % with m = 0, 73 and 50 % with 24, streaming LDA 69 and 54 % (`results/fig4ef`).

    Command: `metaplastic run fig4ef --size laptop|paper --seeds 5`; on a laptop up to half a minute a run on one core,
    at the paper's size some ten minutes (estimated).
    """
    features = sized(
        size,
        laptop=Split("cifar-10-part", tasks=2, grouping=Grouping.VEHICLES_ANIMALS, features=Features.RANDOM),
        paper=Split("cifar-10-resnet18.npz", tasks=2, grouping=Grouping.VEHICLES_ANIMALS),
    )
    plain = Config(
        name="fig4ef",
        scenario=replace(features, boundaries=True, task_at_test=True),
        network=Network(hidden=(2048,), binarize_input=True),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(0.0,), weight_decay=1e-8, reset_optimizer=Reset.TASK),
        epochs=10,
    )
    metaplastic = _with_m(plain, 1.8)
    panels = _with_controls(size, {"e": plain, "f": metaplastic}, told_m=24.0, untold_m=24.0)
    panels |= _joint_and_closed_form(interleaved(plain))
    return Study("fig4ef", size, _training(panels))


def figure_4gh(size: Size = Size.LAPTOP) -> Study:
    """CIFAR-100 features, half of the classes after the other, with no state per task.

    Claim (Fig. 4g, h), as we expect it: m = 1.3 keeps part of the first 50 classes while the others are learned, m = 0
    does not. The authors' numbers are not available. 512-2048-2048-100, all outputs answer, normalisation by sample
    without gain and offset, as theirs; boundaries are used to begin Adam anew only. Deviations: those of all studies
    that are not of statistics and gains.

    At the paper's size from a file `cifar-100-resnet18.npz` that `metaplastic data features cifar-100` makes by our
    recipe, in evaluation mode, and with `--authors` by theirs, in training mode, as in `fig4ef`. On a laptop three
    files of CIFAR-10 stand for it, as there: five classes after five, 512 features of fixed random filters, five epochs
    in batches of 100; `tuned` has m = 48 for these steps, the only one of 12, 24, 48 and 72 that kept something of both
    halves, on held-out images of another seed (`results/fig4gh-tuning`); most of a layer is consolidated as it is drawn
    then.

    Expected: on a laptop 0 and 79 % of the two halves with m = 0, 41 and 36 % with 48, streaming LDA 58 and 66 %
    (`results/fig4gh`).

    Command: `metaplastic run fig4gh --size laptop|paper --seeds 5`; on a laptop up to half a minute a run on one core,
    at the paper's size, half a million steps, some three hours (estimated).
    """
    plain = Config(
        name="fig4gh",
        scenario=sized(
            size,
            laptop=Split("cifar-10-part", tasks=2, features=Features.RANDOM, boundaries=True),
            paper=Split("cifar-100-resnet18.npz", tasks=2, boundaries=True),
        ),
        network=Network(hidden=(2048, 2048), binarize_input=True),
        norm=NormPolicy(statistics=Statistics.LAYER, affine=False),
        optimizer=Optimizer(metaplasticity=(0.0,), reset_optimizer=Reset.TASK),
        epochs=sized(size, laptop=5, paper=20),
        batch_size=sized(size, laptop=100, paper=20),
    )
    metaplastic = _with_m(plain, 1.3)
    panels = {"g": plain, "h": metaplastic}
    if size is Size.LAPTOP:
        panels["tuned"] = _with_m(metaplastic, 48.0)
    panels |= _joint_and_closed_form(interleaved(plain))
    return Study("fig4gh", size, _training(panels))


def _joint_and_closed_form(joint: Config) -> dict[str, Config]:
    beside = {"joint": joint}
    for method in (Method.NEAREST_MEAN, Method.STREAMING_LDA):
        scenario = replace(joint.scenario, boundaries=False, task_at_test=False)  # type: ignore[arg-type]
        beside[method.value] = Config(name=joint.name, scenario=scenario, method=method, epochs=1)
    return beside
