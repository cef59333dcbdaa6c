"""The compiled kernel; absent where no C compiler was found at installation."""

import numpy as np

threaded: int

def paths() -> list[str]: ...

class Chain:
    def __new__(
        cls,
        path: str,
        bytes: bool,
        features: int,
        layers: tuple[tuple[int, np.ndarray, int, np.ndarray, np.ndarray], ...],
        /,
    ) -> Chain: ...
    def forward(self, input: np.ndarray, output: np.ndarray, table: int, threads: int, /) -> None: ...
