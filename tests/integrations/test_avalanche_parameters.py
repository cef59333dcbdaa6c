"""Parameters that Avalanche's models gain, and the groups they come into."""

import pytest
import torch
from torch import nn

pytest.importorskip("avalanche", reason="needs Avalanche: pip install 'metaplastic[avalanche]'")

from avalanche.models import IncrementalClassifier, MultiTaskModule
from avalanche.training.supervised import Naive

from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.integrations.avalanche import MetaplasticPlugin, adopt, as_benchmark
from metaplastic.nn import BinaryLinear, BinaryMLP, Normalization, NormPolicy, Statistics
from metaplastic.optim import MetaplasticAdam, UnmarkedParameterWarning, param_groups
from metaplastic.scenarios import Announced, split

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:avalanche")
LAYER = NormPolicy(statistics=Statistics.LAYER)


def naive(net, optimizer, *plugins):
    return Naive(
        model=net, optimizer=optimizer, train_mb_size=100, train_epochs=1, plugins=list(plugins), evaluator=None
    )


class Headed(nn.Module):
    """A binary body and some head."""

    def __init__(self, head):
        super().__init__()
        self.body = nn.Sequential(BinaryLinear(64, 16, binarize_input=False), Normalization(16, LAYER))
        self.head = head

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))


def held(optimizer):
    return [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]


def test_what_is_no_hidden_weight_comes_into_a_group_without_metaplasticity(two_tasks):
    net = BinaryMLP([64, 16, 10], norm="layer")
    weights = [parameter for parameter in net.parameters() if is_hidden_weight(parameter)]
    optimizer = MetaplasticAdam(weights, lr=5e-3, metaplasticity=1.35)
    naive(net, optimizer, MetaplasticPlugin()).train(as_benchmark(two_tasks).train_stream)
    hidden, others = optimizer.param_groups
    assert [hidden["metaplasticity"], others["metaplasticity"]] == [1.35, 0.0]
    assert all(map(is_hidden_weight, hidden["params"]))
    assert sorted(held(optimizer)) == sorted(map(id, net.parameters()))


def test_without_the_plugin_avalanche_puts_it_among_the_hidden_weights(two_tasks):
    net = BinaryMLP([64, 16, 10], norm="layer")
    weights = [parameter for parameter in net.parameters() if is_hidden_weight(parameter)]
    optimizer = MetaplasticAdam(weights, lr=5e-3, metaplasticity=1.35)
    strategy = naive(net, optimizer)
    with pytest.warns(UnmarkedParameterWarning, match="got 4 other parameters"):
        strategy.train(as_benchmark(two_tasks).train_stream)


def test_a_layer_that_grows_keeps_its_place(small):
    scenario = split(small, [(0, 1), (2, 3), (4, 5)], announced=Announced(boundaries=True))
    net = Headed(IncrementalClassifier(16, 2))
    optimizer = MetaplasticAdam(param_groups(net, metaplasticity=1.35), lr=5e-3)
    naive(net, optimizer, MetaplasticPlugin()).train(as_benchmark(scenario).train_stream)
    assert net.head.classifier.out_features == 6
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 4]
    assert sorted(held(optimizer)) == sorted(map(id, net.parameters()))


class BinaryHeads(MultiTaskModule):
    """A binary body, and a binary head for each task, made when the task comes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(BinaryLinear(64, 16, binarize_input=False), Normalization(16, LAYER))
        self.heads = nn.ModuleDict({"0": self.head()})

    @staticmethod
    def head():
        return nn.Sequential(BinaryLinear(16, 10, binarize_input=True), Normalization(10, LAYER))

    def adaptation(self, experience):
        super().adaptation(experience)
        for label in map(str, experience.task_labels):
            if label not in self.heads:
                self.heads[label] = self.head()

    def forward_single_task(self, x, task_label):
        return self.heads[str(task_label)](self.body(x))


def binary_heads():
    net = BinaryHeads()
    return net, MetaplasticAdam(param_groups(net, metaplasticity=[1.0, 2.0]), lr=5e-3)


def test_the_binary_head_of_a_new_task_is_as_metaplastic_as_the_first(two_tasks):
    net, optimizer = binary_heads()
    naive(net, optimizer, MetaplasticPlugin()).train(as_benchmark(two_tasks).train_stream)
    of = {id(parameter): group["metaplasticity"] for group in optimizer.param_groups for parameter in group["params"]}
    assert {name: of[id(parameter)] for name, parameter in net.named_parameters()} == {
        "body.0.weight": 1.0,
        "body.1.gain": 0.0,
        "body.1.offset": 0.0,
        "heads.0.0.weight": 2.0,
        "heads.0.1.gain": 0.0,
        "heads.0.1.offset": 0.0,
        "heads.1.0.weight": 2.0,
        "heads.1.1.gain": 0.0,
        "heads.1.1.offset": 0.0,
    }
    assert len(held(optimizer)) == 9


def test_without_the_plugin_avalanche_finds_no_group_for_it(two_tasks):
    strategy = naive(*binary_heads())
    with pytest.raises(AttributeError, match="No unique group found"):
        strategy.train(as_benchmark(two_tasks).train_stream)


@pytest.mark.parametrize(("options", "steps"), [({}, 4), ({"reset_optimizer_state": True}, 2)])
def test_the_state_is_kept_unless_a_reset_is_asked_for(two_tasks, options, steps):
    net = BinaryMLP([64, 16, 10], norm="layer")
    optimizer = MetaplasticAdam(param_groups(net), lr=5e-3)
    naive(net, optimizer, MetaplasticPlugin()).train(as_benchmark(two_tasks).train_stream, **options)
    assert [int(optimizer.state[parameter]["step"]) for parameter in net.parameters()] == [steps] * 6


def test_a_replaced_parameter_leaves_its_state_behind():
    net = BinaryMLP([4, 3, 3], norm="layer")
    optimizer = MetaplasticAdam(param_groups(net), lr=5e-3)
    net(torch.rand(5, 4)).sum().backward()
    optimizer.step()
    known = dict(net.named_parameters())
    net.layers[1].gain = nn.Parameter(torch.ones(3))
    now = adopt(optimizer, net, known)
    assert now["layers.1.gain"] is net.layers[1].gain
    assert sorted(held(optimizer)) == sorted(map(id, net.parameters()))
    assert known["layers.1.gain"] not in optimizer.state
    assert optimizer.state[known["layers.0.weight"]]["step"] == 1
