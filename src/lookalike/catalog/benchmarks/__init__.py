"""The papers' data sets, read from their official archives: `Catalog.read("cub200:FOLDER")`."""

from lookalike.catalog.benchmarks.benchmark import Benchmark
from lookalike.catalog.benchmarks.cars196 import CARS196
from lookalike.catalog.benchmarks.cub200 import CUB200
from lookalike.catalog.benchmarks.inaturalist2018 import INATURALIST2018
from lookalike.catalog.benchmarks.inshop import INSHOP
from lookalike.catalog.benchmarks.sop import SOP
from lookalike.catalog.benchmarks.studio_street import STUDIO_STREET
from lookalike.errors import CatalogError, did_you_mean

__all__ = ["BENCHMARKS", "Benchmark", "benchmark_named"]

BENCHMARKS: dict[str, Benchmark] = {
    one.name: one for one in (CUB200, CARS196, SOP, INSHOP, INATURALIST2018, STUDIO_STREET)
}


def benchmark_named(name: str) -> Benchmark:
    """The data set of this name.

    Raises:
        CatalogError: there is none.
    """
    if name not in BENCHMARKS:
        raise CatalogError(f"there is no data set {name!r}.{did_you_mean(name, BENCHMARKS)}")
    return BENCHMARKS[name]
