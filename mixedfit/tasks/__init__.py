"""Tasks on other processes and machines: a Dask client or any `concurrent.futures.Executor`.

A task is a function of the module level, an object that all tasks share, and an item. Results do not depend on the
number of workers: items are numbered, seeds belong to items, and sums are added up in a tree that the numbers fix. A
task of a worker that dies is done again by another one.
"""

from .pool import Pool, check_executor, mapped, pool_of

__all__ = ["Pool", "check_executor", "mapped", "pool_of"]
