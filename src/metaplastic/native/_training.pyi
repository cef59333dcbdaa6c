"""Products of training with binary weights; absent where no C compiler was found at installation.

Matrices are given by the address of their first element and the distance of their rows in elements.
"""

def available() -> bool: ...

class Weights:
    def __new__(cls, bytes: bool, features: int, units: int, /) -> Weights: ...
    def pack(self, signs: int, threads: int, /) -> None: ...
    def forward(
        self,
        x: int,
        x_stride: int,
        rows: int,
        y: int,
        y_stride: int,
        finite: bool,
        scale: float,
        zero: float,
        columns: int,
        threads: int,
        /,
    ) -> None: ...
    def pass_on(
        self, gradient: int, gradient_stride: int, rows: int, passed: int, passed_stride: int, threads: int, /
    ) -> None: ...
    def gradient(
        self, gradient: int, gradient_stride: int, rows: int, columns: int, result: int, half: bool, threads: int, /
    ) -> None: ...
