"""The metaplastic update; absent where no C compiler was found. Tensors are given by their addresses."""

NONE: int
TANH_SQUARED: int
EXPONENTIAL: int
INVERSE_SQUARE: int

def available() -> bool: ...
def adam(
    weight: int,
    gradient: int,
    half: bool,
    first: int,
    second: int,
    signs: int,
    signs_half: int,
    count: int,
    size: float,
    eps: float,
    decay: float,
    beta1: float,
    beta2: float,
    function: int,
    steepness: float,
    threads: int,
    /,
) -> None: ...
