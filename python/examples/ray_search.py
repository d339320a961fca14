"""Shares out a search over a Ray cluster, and merges it to the same model that one machine finds.

    python ray_search.py model.onnx val.npz small.onnx --results /shared/runs --shards 8 --goal max_drop=accuracy=0.01 \
        [--address auto]

`/shared/runs` is a folder that all nodes see, as the model and the data are. A node that goes away costs its time only:
Ray starts its shard again, and what is in the folder by then is not made twice. Without an address Ray is started here.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import ray

import secateur


@ray.remote(max_retries=3)
def shard(model: str, data: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Makes a share of the evaluations; returns where that was."""
    secateur.search(model, data=data, **settings)
    context = ray.get_runtime_context()
    return {"shard": settings["shard"], "node": context.get_node_id(), "process": os.getpid()}


def search(
    model: Path, data: Path, output: Path, results: Path, shards: int, goal: dict[str, Any], cores: float
) -> tuple[secateur.Result, list[dict[str, Any]]]:
    """The smallest model that reaches the goal, and where the shards ran."""
    common = {**goal, "results": str(results.resolve())}
    # Shards beside each other on one node take no more than their part of it.
    environment = {"env_vars": {"RAYON_NUM_THREADS": str(max(1, int(cores)))}}
    task = shard.options(num_cpus=cores, runtime_env=environment, scheduling_strategy="SPREAD")
    running = [
        task.remote(str(model.resolve()), str(data.resolve()), {**common, "shard": f"{number}/{shards}"})
        for number in range(1, shards + 1)
    ]
    places = ray.get(running)
    return secateur.search(model, data=data, output=output, merge=results, **goal), places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--cores", type=float, default=1, help="cores of a shard")
    parser.add_argument("--goal", action="append", required=True, help="as in max_drop=accuracy=0.01")
    parser.add_argument("--address", help="a running cluster, or auto")
    options = parser.parse_args()
    goal = dict(said.split("=", 1) for said in options.goal)
    ray.init(address=options.address, include_dashboard=False, log_to_driver=False)
    result, places = search(
        options.model, options.data, options.output, options.results, options.shards, goal, options.cores
    )
    for place in places:
        print(f"shard {place['shard']}: node {str(place['node'])[:8]}, process {place['process']}")
    print(result.text)


if __name__ == "__main__":
    main()
