"""What other packages offer, against tiny distributions on the path."""

import io
import sys
from dataclasses import replace

import pytest
import torch

from metaplastic.experiments import Config, Record, from_json, run, to_json
from metaplastic.experiments.build import build_learner, build_network, build_optimizer, build_scenario
from metaplastic.experiments.config import Network, Optimizer, Running
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.experiments.scenario_config import Permuted
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.learners import Engine, learner_names, named_learner
from metaplastic.nn import BinaryMLP, NormPolicy, Statistics
from metaplastic.optim import MetaplasticAdam, consolidation_names, named
from metaplastic.plugins import PluginError, offered_plugins
from metaplastic.testing import check_consolidation, check_learner

FUNCTIONS, LEARNERS = "metaplastic.consolidation_functions", "metaplastic.learners"

GAUSSIAN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Gaussian:
    width: float = 1.0

    def __call__(self, hidden, metaplasticity):
        return (-(self.width * metaplasticity * hidden).square()).exp()

wide = Gaussian(2.0)

def plain(hidden, metaplasticity):
    return (-metaplasticity * hidden.abs()).exp()
"""

LEARNER = """
from metaplastic.learners import WithoutHooks

class Small(WithoutHooks):
    "Pulls the first layer to zero."

    def __init__(self, network, strength):
        if strength < 0:
            raise ValueError("expected a strength from 0")
        self.weight, self.strength = network.layers[0].weight, strength

    def curriculum(self, scenario):
        return scenario

    def penalty(self):
        return self.strength * self.weight.square().sum() if self.strength else None
"""

SMALL = Config(
    scenario=Permuted("digits", tasks=1),
    network=Network(hidden=(8,)),
    norm=NormPolicy(statistics=Statistics.LAYER),
    epochs=1,
    running=Running(engine=Engine.PLAIN),
)


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Put a package on the path, as an installer would leave it."""

    def put(name, group, entries, module="", text="", version="1.0"):
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        if module:
            (folder / f"{module}.py").write_text(text)
            modules.append(module)
        monkeypatch.syspath_prepend(folder)

    modules, known = [], torch.serialization.get_safe_globals()
    yield put
    # Torch keeps the classes that it may load by name, and those here are made anew for every test.
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(known)
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def gaussian(distribution):
    entries = {"gaussian": "gaussian_rule:Gaussian", "wide": "gaussian_rule:wide", "plain": "gaussian_rule:plain"}
    distribution("gaussian-rule", FUNCTIONS, entries, "gaussian_rule", GAUSSIAN)


@pytest.fixture
def small(distribution):
    distribution("small-weights", LEARNERS, {"small": "small_weights:Small"}, "small_weights", LEARNER)


@pytest.mark.parametrize(("name", "at_one"), [("gaussian", -1.0), ("wide", -4.0), ("plain", -1.0)])
@pytest.mark.usefixtures("gaussian")
def test_a_class_a_value_and_a_function_can_be_offered(name, at_one):
    function = named(name)
    assert function(torch.tensor([0.0, -1.0]), 1.0).log().tolist() == pytest.approx([0.0, at_one])
    assert named(name) == function
    check_consolidation(function)


@pytest.mark.usefixtures("gaussian", "small")
def test_nothing_is_imported_before_it_is_asked_for():
    assert {"gaussian", "wide", "plain"} <= set(consolidation_names())
    assert "small" in learner_names()
    config = replace(SMALL, optimizer=Optimizer(consolidation="gaussian"))
    assert from_json(to_json(config)) == config
    assert not {"gaussian_rule", "small_weights"} & set(sys.modules)
    named("gaussian")
    assert "gaussian_rule" in sys.modules


@pytest.mark.usefixtures("gaussian")
def test_an_optimizer_takes_the_name_and_keeps_the_function_in_its_state():
    weight = HiddenWeight(torch.ones(3))
    optimizer = MetaplasticAdam([weight], lr=0.1, metaplasticity=1.0, consolidation="gaussian")
    weight.sum().backward()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 1 - 0.1 * float(torch.tensor(-1.0).exp())))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    restored = MetaplasticAdam([HiddenWeight(torch.ones(3))])
    restored.load_state_dict(torch.load(file))
    assert restored.param_groups[0]["consolidation"] == named("gaussian")


@pytest.mark.usefixtures("gaussian")
def test_an_experiment_runs_with_a_function_of_another_package(tmp_path):
    config = replace(SMALL, optimizer=Optimizer(consolidation="wide"))
    network = build_network(config, build_scenario(config))
    assert build_optimizer(config, network).param_groups[0]["consolidation"] == named("wide")
    run(config, tmp_path / "run", progress=False)
    assert Record(tmp_path / "run").config.optimizer.consolidation == "wide"


@pytest.mark.usefixtures("gaussian")
def test_an_unknown_name_is_refused_with_what_other_packages_offer():
    with pytest.raises(ValueError, match=r"unknown consolidation function 'gausian'; did you mean 'gaussian'\?.*wide"):
        named("gausian")
    with pytest.raises(ValueError, match=r"did you mean 'gaussian'\?.*, or a CSV file of a measured curve"):
        Optimizer(consolidation="gausian")


def test_a_name_of_our_own_is_not_taken_over(distribution):
    assert named("power-law")
    distribution("imitation", FUNCTIONS, {"power-law": "imitation:law"}, version="0.3")
    message = r"expected consolidation function 'power-law' to be metaplastic's own, got another .* from package "
    with pytest.raises(PluginError, match=message + r"'imitation' 0\.3; rename"):
        named("power-law")
    assert named("exponential")


def test_two_packages_that_offer_one_name_are_told_apart(distribution, gaussian):
    distribution("other-rule", FUNCTIONS, {"gaussian": "other_rule:Gaussian"}, version="2.0")
    message = r"expected one consolidation function named 'gaussian', got 2, from package 'other-rule' 2\.0, package "
    with pytest.raises(PluginError, match=message + r"'gaussian-rule' 1\.0; uninstall all but one"):
        named("gaussian")
    assert named("wide")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import nowhere",
            r"an error when 'broken:rule' was imported \(ModuleNotFoundError: No module named 'nowhere'\)",
        ),
        ("1 / 0", r"was imported \(ZeroDivisionError: division by zero\)"),
        ("", r"was imported \(AttributeError: "),
        ("rule = 3", r"something that cannot be called with hidden weights and m \(TypeError"),
        ("class rule:\n    def __init__(self, floor): ...", r"cannot be called with hidden weights and m \(TypeError"),
        ("def rule(hidden): return hidden", r"cannot be called with hidden weights and m \(TypeError"),
        ("def rule(hidden, m): return m", r"something that gives 1\.0 for two hidden weights"),
        ("def rule(hidden, m): return hidden.sum()", r"something that gives tensor\(1\.\) for two hidden weights"),
    ],
)
def test_a_function_that_does_not_work_is_refused_with_its_package(distribution, text, message):
    distribution("broken-rule", FUNCTIONS, {"broken": "broken:rule"}, "broken", text)
    start = r"expected a consolidation function under the name 'broken' of package 'broken-rule' 1\.0, got .*"
    with pytest.raises(PluginError, match=start + message + r".*; update or uninstall that package"):
        named("broken")


@pytest.mark.usefixtures("small")
def test_a_learner_of_another_package_is_made_by_its_name():
    learner = named_learner("small", BinaryMLP([4, 3, 2]), strength=2.0)
    assert learner.strength == 2.0
    check_learner(lambda network, strength: named_learner("small", network, strength))
    with pytest.raises(ValueError, match="expected a strength from 0"):
        named_learner("small", BinaryMLP([4, 3, 2]), strength=-1.0)


@pytest.mark.usefixtures("small")
def test_an_experiment_runs_with_a_learner_of_another_package(tmp_path):
    config = replace(SMALL, method=Method.PLUGIN, penalty=Penalty(strength=3.0, learner="small"))
    assert from_json(to_json(config)) == config
    learner = build_learner(config, build_network(config, build_scenario(config)))
    assert (type(learner).__name__, learner.strength) == ("Small", 3.0)
    run(config, tmp_path / "run", progress=False)
    assert Record(tmp_path / "run").config.penalty.learner == "small"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (Penalty(strength=1.0, learner="smal"), "unknown learner 'smal'; did you mean 'small'.*; install the package"),
        (Penalty(strength=1.0), r"unknown learner ''\. Known: small"),
        (Penalty(learner="small"), "expected a strength of the penalty with method 'plugin', got none"),
        (Penalty(strength=1.0, learner="ewc"), "got 'ewc', which is this package's own; give it as --method"),
        (Penalty(strength=1.0, learner="small", damping=0.2), "expected damping to be left alone with method 'plugin'"),
    ],
)
def test_a_configuration_with_a_learner_of_another_package_is_checked(penalty, message):
    with pytest.raises(ValueError, match=message):
        Config(method=Method.PLUGIN, penalty=penalty)


@pytest.mark.usefixtures("small")
def test_a_learner_belongs_to_the_method_plugin():
    with pytest.raises(ValueError, match="expected learner to be left alone with method 'finetune', got small; it bel"):
        Config(penalty=Penalty(learner="small"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def rule(network): return None",
            r"something that cannot be called with a network and a strength \(TypeError",
        ),
        (
            "class rule:\n    def __init__(self, network, strength): ...\n    def penalty(self): ...",
            "a rule without exact_gradients, curriculum, after_step, end_task, state, load_state",
        ),
    ],
)
def test_a_learner_that_does_not_work_is_refused_with_its_package(distribution, text, message):
    distribution("broken-learner", LEARNERS, {"broken": "broken:rule"}, "broken", text)
    start = r"expected a learner under the name 'broken' of package 'broken-learner' 1\.0, got "
    with pytest.raises(PluginError, match=start + message):
        named_learner("broken", BinaryMLP([4, 3, 2]), 1.0)


def test_our_own_learners_have_names_too():
    assert {"finetune", "joint", "ewc", "online-ewc", "random-consolidation", "si"} == set(learner_names())
    assert all(named_learner(name, BinaryMLP([4, 3, 2]), 0.0).penalty() is None for name in learner_names())
    with pytest.raises(ValueError, match="unknown learner 'ewcc'; did you mean 'ewc'"):
        named_learner("ewcc", BinaryMLP([4, 3, 2]))


def test_a_group_that_nobody_offers_anything_in_is_empty():
    assert offered_plugins("metaplastic.nothing") == {}
