"""Fig. 5 of the paper: one data set that comes as a stream."""

from dataclasses import replace

from metaplastic.experiments.config import Stream
from metaplastic.experiments.presets.fashion_stream import fashion_stream
from metaplastic.experiments.presets.published import sized
from metaplastic.experiments.study import Size, Study, TrainingPanel


def figure_5_fashion(size: Size = Size.LAPTOP) -> Study:
    """Fashion-MNIST in 60 parts of 1,000, against all of it at once: metaplasticity narrows the gap.

    Claim (Fig. 5): a metaplastic network (m = 2.5) that sees the data part by part, 20 epochs each, comes nearer to one
    that sees all at once than a plain one does. The authors' numbers are not available. The laptop's size is the
    paper's, 784-1024-1024-10, tested after every part only.

    Command: `metaplastic run fig5-fashion --seeds 5`.
    """
    panels = {}
    for name, parts, m in (("plain", 60, 0.0), ("metaplastic", 60, 2.5), ("whole", 1, 0.0)):
        config = fashion_stream()
        panels[name] = TrainingPanel(
            replace(
                config,
                scenario=Stream("fashion-mnist", parts=parts),
                optimizer=replace(config.optimizer, metaplasticity=(m,)),
                running=replace(config.running, evaluate_epochs=sized(size, laptop=0, paper=1), checkpoint_every=10),
            )
        )
    return Study("fig5-fashion", size, panels)
