"""What the plugin takes, keeps, uses and publishes."""

import pytest
import torch

pytest.importorskip("avalanche", reason="needs Avalanche: pip install 'metaplastic[avalanche]'")

from avalanche.benchmarks import benchmark_from_datasets, with_task_labels
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive

from metaplastic.evaluation import layer_report
from metaplastic.hidden_weight import hidden_weights
from metaplastic.integrations.avalanche import MetaplasticPlugin, SynapseMetric, as_benchmark
from metaplastic.nn import BinaryMLP, NormPolicy, Scope, Statistics, evaluating, normalizations, recalibrate
from metaplastic.optim import MetaplasticAdam, attenuation, param_groups
from metaplastic.scenarios import Announced, permuted

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:avalanche")
PER_TASK = NormPolicy(statistics=Statistics.RECALIBRATED, scope=Scope.PER_TASK)
SHARED = NormPolicy(statistics=Statistics.RECALIBRATED)
LAYER = NormPolicy(statistics=Statistics.LAYER)


class Line(BaseLogger):
    """Remembers what it is given."""

    def __init__(self):
        super().__init__()
        self.values = {}

    def log_single_metric(self, name, value, x_plot):
        self.values[name] = value


def strategy_of(policy, *plugins, metrics=(), loggers=(), **options):
    torch.manual_seed(0)
    net = BinaryMLP([64, 32, 10], norm=policy, generator=torch.Generator().manual_seed(0))
    return Naive(
        model=net,
        optimizer=MetaplasticAdam(param_groups(net, metaplasticity=10.0), lr=1e-2),
        train_mb_size=20,
        eval_mb_size=100,
        plugins=list(plugins),
        evaluator=EvaluationPlugin(*metrics, loggers=list(loggers)),
        **options,
    )


def samples(view):
    return view.batch(torch.arange(len(view)))


def state_of(net):
    return [torch.stack([layer.mean, layer.variance]) for layer in normalizations(net)]


def test_statistics_are_those_of_the_experience_that_ended(two_tasks):
    strategy = strategy_of(SHARED, MetaplasticPlugin())
    for experience, task in zip(as_benchmark(two_tasks).train_stream, two_tasks.tasks, strict=True):
        strategy.train(experience)
        taken = [state.clone() for state in state_of(strategy.model)]
        recalibrate(strategy.model, samples(task.view)[0])
        for state, exact in zip(taken, state_of(strategy.model), strict=True):
            torch.testing.assert_close(state, exact, rtol=1e-4, atol=1e-5)


def test_each_task_is_tested_with_the_state_that_was_kept_for_it(two_tasks):
    strategy = strategy_of(PER_TASK, MetaplasticPlugin(), metrics=[accuracy_metrics(experience=True)])
    benchmark = as_benchmark(two_tasks)
    strategy.train(benchmark.train_stream)
    values = strategy.eval(benchmark.test_stream)
    net = strategy.model
    assert [layer.kept_tasks.tolist() for layer in normalizations(net)] == [[0, 1]] * 2
    for index, test in enumerate(two_tasks.tests):
        inputs, labels = samples(test.view)
        with torch.no_grad(), evaluating(net, index):
            by_hand = float((net(inputs).argmax(1) == labels).float().mean())
        assert values[f"Top1_Acc_Exp/eval_phase/test_stream/Task00{index}/Exp00{index}"] == pytest.approx(by_hand)
    assert all(layer.task is None for layer in normalizations(net))
    first = normalizations(net)[0]
    assert not torch.equal(first.kept[0], first.kept[1])


def test_one_label_for_all_tasks_is_an_error_where_normalisation_is_kept_per_task(small):
    benchmark = as_benchmark(permuted(small, tasks=2, announced=Announced(boundaries=True)))
    strategy = strategy_of(PER_TASK, MetaplasticPlugin())
    strategy.train(benchmark.train_stream)
    with pytest.raises(ValueError, match=r"expected a task label per task .* got label 0 for all 2 experiences"):
        strategy.eval(benchmark.test_stream)


def test_no_label_is_an_error_where_normalisation_is_kept_per_task(two_tasks):
    data = [experience.dataset for experience in as_benchmark(two_tasks).train_stream]
    bare = benchmark_from_datasets(train=data)
    with pytest.raises(ValueError, match=r"expected one task label per experience .* got none"):
        strategy_of(PER_TASK, MetaplasticPlugin()).train(bare.train_stream)
    strategy_of(PER_TASK, MetaplasticPlugin()).train(with_task_labels(bare).train_stream)


def test_an_experience_is_evaluated_in_its_middle_with_its_own_statistics(two_tasks):
    class Watch(SupervisedPlugin):
        def before_eval_exp(self, strategy, **kwargs):
            net = strategy.model
            taken = [state.clone() for state in state_of(net)]
            recalibrate(net, samples(two_tasks.tasks[0].view)[0])
            seen.append(all(map(torch.allclose, taken, state_of(net))))

    seen = []
    plugin = MetaplasticPlugin()
    strategy = strategy_of(PER_TASK, plugin, train_epochs=2, eval_every=1)
    first = as_benchmark(two_tasks).train_stream[0]
    with pytest.raises(ValueError, match="this normalisation was never calibrated"):
        strategy.train(first)
    strategy = strategy_of(PER_TASK, plugin, Watch(), train_epochs=2, eval_every=1)
    plugin.calibrate(strategy.model, first)
    strategy.train(first)
    assert len(seen) == 3  # before training, and after each of two epochs
    assert all(seen)


def test_the_plugin_leaves_no_trace_in_the_weights(two_tasks):
    def trained(policy, *plugins):
        strategy = strategy_of(policy, *plugins)
        strategy.train(as_benchmark(two_tasks).train_stream)
        return hidden_weights(strategy.model)

    for policy in (LAYER, SHARED):
        bare, helped = trained(policy), trained(policy, MetaplasticPlugin())
        assert all(torch.equal(bare[name], helped[name]) for name in bare)


def test_synapses_are_logged_by_layer_as_the_report_counts_them(two_tasks):
    line = Line()
    strategy = strategy_of(SHARED, MetaplasticPlugin(), loggers=[line])
    for index, experience in enumerate(as_benchmark(two_tasks).train_stream):
        before = {name: value.clone() for name, value in hidden_weights(strategy.model).items()}
        last = strategy.train(experience)
        now = hidden_weights(strategy.model)
        report = layer_report(before, now, attenuation(strategy.model, strategy.optimizer))
        assert report["layers.0.weight"]["flip_rate"] > 0
        for layer, numbers in report.items():
            end = f"train_phase/train_stream/Task00{index}/Exp00{index}/{layer}"
            expected = {
                f"Flip_Rate/{end}": numbers["flip_rate"],
                f"Consolidated_Fraction/{end}": numbers["consolidated_fraction"],
                f"Hidden_Magnitude/{end}": numbers["mean_magnitude"],
            }
            assert expected.items() <= line.values.items()
            assert expected.items() <= last.items()


def test_a_metric_in_the_evaluator_is_not_published_twice_and_an_idle_evaluator_not_at_all(two_tasks):
    experience = as_benchmark(two_tasks).train_stream[0]
    both = strategy_of(SHARED, MetaplasticPlugin(), metrics=[SynapseMetric()])
    both.evaluator.collect_all = True
    both.train(experience)
    flips = [values for name, (_, values) in both.evaluator.get_all_metrics().items() if name.startswith("Flip_Rate")]
    assert [len(values) for values in flips] == [1, 1]
    idle = strategy_of(SHARED, MetaplasticPlugin())
    idle.evaluator.active = False
    assert not idle.train(experience)


def test_too_few_samples_to_calibrate_with_are_refused():
    with pytest.raises(ValueError, match="expected calibration_samples >= 2, got 1"):
        MetaplasticPlugin(calibration_samples=1)
