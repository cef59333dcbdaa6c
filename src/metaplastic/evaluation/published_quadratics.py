"""The two quadratic binary tasks of the paper, drawn as the authors drew them."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from metaplastic.evaluation.quadratic import QuadraticTask
from metaplastic.evaluation.quadratic_experiment import QuadraticExperiment


def two_dimensional_quadratic(seed: int = 11, dtype: torch.dtype = torch.float32) -> QuadraticExperiment:
    """Build the experiment whose hidden weights can be followed in the plane.

        H = A D A, D = diag(5 U(0, 1)), A a random reflection, W* = (1.5, 0.5)

    It starts at (0.01, 0.02) and takes 500 steps at a learning rate of 0.35. The first coordinate of the optimum is
    outside the square of the binary weights, the second inside.

    Args:
        seed: Of the eigenvalues and the axes of H; the paper's by default, for which H = [[2.4047, 0.2158], [0.2158,
            0.7733]].
        dtype: Floating-point type to compute in; the numbers are always drawn in float32.

    Returns:
        The experiment.

    Example:
        >>> two_dimensional_quadratic().task.hessian.double().round(decimals=4).tolist()
        [[2.4047, 0.2158], [0.2158, 0.7733]]

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6a.

    Deviation from the authors' code: none in the draws.
    """
    # The stream of the authors' seed itself, not one of the package's purposes: their draws come out of it.
    draws = torch.Generator().manual_seed(seed)
    eigenvalues = 5 * torch.rand(2, generator=draws).to(dtype)
    reflection = random_reflection(2, draws, dtype)
    return QuadraticExperiment(
        QuadraticTask(_symmetric(reflection @ eigenvalues.diag() @ reflection), torch.tensor([1.5, 0.5], dtype=dtype)),
        start=torch.tensor([0.01, 0.02], dtype=dtype),
        lr=0.35,
        steps=500,
    )


def high_dimensional_quadratic(
    dimension: int = 500, seed: int = 1, dtype: torch.dtype = torch.float32
) -> QuadraticExperiment:
    """Build the experiment that relates the magnitude of a hidden weight to the loss of switching its sign.

        H = R^T D R, D = diag(20 + 19 (U(0, 1) - 1/2)), R a random rotation, W* uniform in [-4, 4]

    It starts at 0.01 N(0, 1) and takes 1000 steps at a learning rate of 0.01.

    Args:
        dimension: Number of weights, at least 2; 500 in the paper.
        seed: Of start, optimum, eigenvalues and rotation, in this order; the paper's by default.
        dtype: Floating-point type to compute in; the numbers are always drawn in float32. Weights that hover around 0
            turn the rounding of a step into other signs later, so that two types, or two machines in float32, agree on
            the weights that drift but not on every digit.

    Returns:
        The experiment.

    Raises:
        ValueError: When the dimension is below 2.

    Example:
        >>> experiment = high_dimensional_quadratic(dimension=20)
        >>> experiment.task.dimension, bool(experiment.task.optimum.abs().max() <= 4)
        (20, True)

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6b.

    Deviation from the authors' code: none in the draws. The rotation is built up by updates of rank one instead of
    products of matrices, the same numbers up to rounding.
    """
    if dimension < 2:
        raise ValueError(f"expected a dimension of at least 2, got {dimension}; in one nothing can be rotated")
    draws = torch.Generator().manual_seed(seed)
    start = 0.01 * torch.randn(dimension, 1, generator=draws).to(dtype)
    optimum = 8 * (torch.rand(dimension, 1, generator=draws).to(dtype) - 0.5)
    eigenvalues = 20 + 19 * (torch.rand(dimension, generator=draws).to(dtype) - 0.5)
    rotation = random_rotation(dimension, draws, dtype)
    hessian = _symmetric(rotation.T @ (eigenvalues[:, None] * rotation))
    return QuadraticExperiment(QuadraticTask(hessian, optimum[:, 0]), start[:, 0], lr=0.01, steps=1000)


def random_reflection(
    dimension: int, draws: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, "dimension dimension"]:
    """Draw a reflection at a plane of uniform direction.

    `A = 1 - 2 u u^T / (u^T u)` with u normal.

    Args:
        dimension: Number of rows and columns, at least 1.
        draws: Where u is drawn from, in float32.
        dtype: Type of the result.

    Returns:
        A, symmetric and orthogonal.

    Example:
        >>> A = random_reflection(3, torch.Generator().manual_seed(0), torch.float64)
        >>> torch.allclose(A @ A, torch.eye(3, dtype=torch.float64))
        True
    """
    across = torch.randn(dimension, 1, generator=draws).to(dtype)
    return torch.eye(dimension, dtype=dtype) - 2 / (across.T @ across) * (across @ across.T)


def random_rotation(dimension: int, draws: torch.Generator, dtype: torch.dtype) -> Float[Tensor, "dimension dimension"]:
    """Draw an orthogonal matrix uniformly, by the subgroup algorithm.

        R_n = (1 - 2 x x^T) diag(1, R_n-1), x = (e_1 - v) / |e_1 - v|, v uniform on the sphere in n dimensions

    R_2 is a rotation by a uniform angle, reflected in one case of two; the product carries e_1 to v.

    Args:
        dimension: Number of rows and columns, at least 2.
        draws: Where the angle, the reflection and then each v are drawn from, in float32.
        dtype: Type of the result.

    Returns:
        R; its determinant is +1 or -1.

    Example:
        >>> R = random_rotation(4, torch.Generator().manual_seed(0), torch.float64)
        >>> torch.allclose(R @ R.T, torch.eye(4, dtype=torch.float64))
        True

    References:
        Diaconis & Shahshahani 1987, The subgroup algorithm for generating uniform random variables.
    """
    angle = 2 * math.pi * torch.rand(1, generator=draws).item()
    side = 1 if torch.rand(1, generator=draws).item() > 0.5 else -1
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cosine, sine], [-side * sine, side * cosine]], dtype=dtype)
    for n in range(3, dimension + 1):
        image = torch.randn(n, 1, generator=draws).to(dtype)
        normal = -image / image.norm()
        normal[0] += 1
        normal = normal / normal.norm()
        larger = torch.block_diag(torch.ones(1, 1, dtype=dtype), rotation)
        rotation = larger - 2 * normal @ (normal.T @ larger)
    return rotation


def _symmetric(matrix: Tensor) -> Tensor:
    """Take out of a symmetric product what rounding made different across the diagonal."""
    return (matrix + matrix.T) / 2
