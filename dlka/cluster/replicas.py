"""Models of the page in replicas of Ray Serve. The page, its visitors and all else that it does stay in its process."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from dlka import provenance
from dlka.cluster.engines import cluster
from dlka.errors import DlkaError
from dlka.inference.predictor import Predictor, answer, kept_predictor
from dlka.models.catalog import GUESTS

NAME = "dlka"
MOST = 4  # pictures that are under way in a replica or wait for it there


class Models:
    """A replica: every model that it is asked for, each loaded once. threads: of torch."""

    def __init__(self, threads: int) -> None:
        provenance.use_threads(threads)

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        """What `answer` returns, or what it refuses, of which Ray would make a fault."""
        try:
            return answer(*arguments)
        except DlkaError as error:
            return error


@contextmanager
def replicas(count: int, cpus: float = 1.0, gpus: float = 0.0, address: str | None = None) -> Iterator[None]:
    """Inside the context every model that is loaded looks at pictures in one of so many replicas.

    cpus, gpus, address: as of dlka.cluster.engines.run_ray; weights files lie where they lie here on all machines of
    the cluster. What visitors bring is known here alone, and stays. Raises DlkaError where Ray Serve is not installed.
    """
    if count < 1 or cpus < 0 or gpus < 0:
        raise DlkaError(f"--replicas: expected 1 or more, and no less than 0 of --cpus and --gpus; got {count}.")
    with cluster(address, cpus=max(1, math.ceil(count * cpus)), gpus=math.ceil(count * gpus)):
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        options = {"num_cpus": cpus, "num_gpus": gpus}
        deployment: Any = serve.deployment(Models)
        made = deployment.options(
            num_replicas=count, ray_actor_options=options, max_ongoing_requests=MOST, logging_config={"log_level": 30}
        )
        serve.start(http_options={"location": "NoServer"}, logging_config={"log_level": 30})  # nobody asks by HTTP
        handle = serve.run(made.bind(max(1, int(cpus))), name=NAME, route_prefix=None)

        def elsewhere(here: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
            if any(str(path) == arguments[0] for path in GUESTS.values()):
                return here()
            found = handle.remote(arguments).result()
            if isinstance(found, DlkaError):
                raise found
            return deepcopy(found)  # what is kept would else keep Ray's store full, in which the answer lies

        before = Predictor.elsewhere, Predictor.place
        Predictor.elsewhere, Predictor.place = elsewhere, f"{count} replicas"
        kept_predictor.cache_clear()
        try:
            yield
        finally:
            Predictor.elsewhere, Predictor.place = before
            kept_predictor.cache_clear()
            serve.shutdown()
