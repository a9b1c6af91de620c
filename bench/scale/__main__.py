"""Many RayClusters on the local server with simulated nodes: how long, how many writes, how much memory.

    make bench-scale                       100, 300 and 1,000 clusters of 1 head and 9 workers, then a giant
    python -m bench.scale 50 --workers 3   other sizes

Four processes, and nothing but loopback: the API server with its controllers, the operator, the simulated nodes, and
this one, which creates and watches. Each size starts from nothing. Raw results go to bench/results.
"""

import argparse
import asyncio
import json
import os
import platform
from datetime import UTC, datetime

from bench.scale import giant, many
from bench.scale.parts import ROOT, How

SIZES = (100, 300, 1000)
GIANT_WORKERS = 1000
SMALL_CLUSTERS = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, help="numbers of clusters")
    parser.add_argument("--workers", type=int, default=9, help="worker Pods of each cluster")
    parser.add_argument("--giant", type=int, default=GIANT_WORKERS, help="workers of the giant; 0 for no giant")
    parser.add_argument("--small", type=int, default=SMALL_CLUSTERS, help="clusters beside the giant")
    parser.add_argument("--profile", choices=["server", "operator"], default="", help="run this part under cProfile")
    parser.add_argument("--no-lease", action="store_true", help="the operator leads without one, on a busy machine")
    parser.add_argument("--dry", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    how = How(arguments.profile, lease=not arguments.no_lease)
    when = datetime.now(UTC)
    results = []
    for count in arguments.sizes:
        found = asyncio.run(many.measure(count, arguments.workers, how))
        results.append(found)
        print(json.dumps(found, indent=2), flush=True)
    beside = {}
    if arguments.giant:
        beside = asyncio.run(giant.measure(arguments.giant, arguments.small, arguments.workers, how))
        print(json.dumps(beside, indent=2), flush=True)
    if not arguments.dry:
        machine = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        target = ROOT / "bench" / "results" / f"scale-{when:%Y-%m-%d-%H%M}.json"
        document = {"when": when.isoformat(), "machine": machine, "results": results, "giant": beside}
        target.write_text(json.dumps(document, indent=2) + "\n")
        print(f"raw results: {target.relative_to(ROOT)}")
    return 1 if beside.get("starved") else 0


if __name__ == "__main__":
    raise SystemExit(main())
