"""A factor that nothing trains, and what a packed network makes of it."""

import numpy as np
import pytest
import torch

from metaplastic.nn import BinaryMLP, FixedScale
from metaplastic.packed import pack


def test_it_multiplies_and_has_nothing_to_train():
    layer = FixedScale(0.3)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), 0.3 * x)
    assert not list(layer.parameters())
    assert not layer.state_dict()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_that_is_not_above_zero_is_refused(scale):
    with pytest.raises(ValueError, match="expected a finite scale > 0, got"):
        FixedScale(scale)


def test_packed_logits_are_the_scaled_sums():
    network = BinaryMLP([12, 9, 4], "layer", generator=torch.Generator().manual_seed(0))
    network.layers[-1] = FixedScale(0.3)
    packed = pack(network)
    x = np.random.default_rng(0).integers(0, 256, (20, 12), dtype=np.uint8)
    sums = packed.trace(x)[-1][0]
    assert len(np.unique(sums)) > 4
    np.testing.assert_array_equal(packed.logits(x), np.float32(0.3) * sums.astype(np.float32))
    with torch.no_grad():
        np.testing.assert_allclose(packed.logits(x), network(torch.from_numpy(x) / 256), rtol=1e-6)
