"""`python -m bench [benchmark …]`: a table, and STATE_DIR/bench.json."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench import (
    billing,
    contacts,
    emails,
    exports,
    imports,
    knowledge,
    mailings,
    media,
    scale,
    soak,
    tenant,
    transcripts,
    webhook,
)
from bench.cpu import REST, TESTED, pin
from bench.product import ROOT, Product, running_product
from bench.report import Result, show, write

# The quiet ones first: calls leave work behind for the background worker. `scale` before `media`, whose calls leave
# freed memory behind in the web process, where later ones would weigh too little.
BENCHMARKS: dict[str, Callable[[Product], list[Result]]] = {
    "tenant": tenant.run,
    "transcripts": transcripts.run,
    "webhook": webhook.run,
    "scale": scale.run,
    "media": media.run,
    "soak": soak.run,
    "contacts": contacts.run,
    "imports": imports.run,
    "exports": exports.run,
    "emails": emails.run,
    "mailings": mailings.run,
    "knowledge": knowledge.run,
    "billing": billing.run,
}
LIMIT_S = 480  # whatever hangs, the run ends and cleans up
# A million of them are written first, or hundreds of thousands several times.
LONGER_S = {"contacts": 1800, "imports": 1200, "exports": 1800, "emails": 1800, "mailings": 1800, "billing": 1800}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=", ".join(BENCHMARKS))
    names = parser.parse_args(arguments).names
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    destination = ROOT / os.environ.get("STATE_DIR", ".local") / "bench.json"
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(LIMIT_S)
    results = _run([name for name in BENCHMARKS if name in names or not names], destination)
    missed = [result.name for result in results if result.reached is False]
    print(f"\n{len(missed)} of the targets missed: {', '.join(missed)}." if missed else "\nEvery target was reached.")
    print(f"Written to {destination}.")
    return 0


def _run(names: list[str], destination: Path) -> list[Result]:
    results: list[Result] = []
    pin(os.getpid(), REST)  # and with it every process it starts; the one under test is moved
    if TESTED == REST:
        print("There is one core only: the load shares it with the server, and latencies mean little.")
    print("Starting the product …", flush=True)
    with running_product() as product:
        for name in names:
            print(f"\n{name}", flush=True)
            signal.alarm(LONGER_S.get(name, LIMIT_S))
            found = BENCHMARKS[name](product)
            show(found)
            results += found
            write(results, destination)
        print("\nStopping …", flush=True)
    return results


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(f"Ended by {signal.Signals(number).name}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
