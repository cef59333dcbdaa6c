"""Builds the optional kernel of packed networks; all else is in pyproject.toml.

Without a compiler the package is installed without the kernel; without OpenMP the kernel has one thread.
"""

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError


class BuildKernel(build_ext):
    """Tries the compiler's flag for OpenMP first, and goes without where it has none."""

    def build_extension(self, extension):
        """Build one extension."""
        msvc = self.compiler.compiler_type == "msvc"
        optimise, openmp = (["/O2"], "/openmp") if msvc else (["-O3"], "-fopenmp")
        extension.extra_compile_args = [*optimise, openmp]
        extension.extra_link_args = [] if msvc else [openmp]
        try:
            super().build_extension(extension)
        except (CompileError, LinkError):
            extension.extra_compile_args, extension.extra_link_args = optimise, []
            super().build_extension(extension)


setup(
    ext_modules=[Extension("metaplastic.packed._kernel", ["src/metaplastic/packed/_kernel.c"], optional=True)],
    cmdclass={"build_ext": BuildKernel},
)
