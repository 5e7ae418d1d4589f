"""Measure the memory of our Datastore server and of Google's emulator after many single puts.

Usage: python -m bench.memory [--puts 16000]
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from google.cloud import datastore

from bench.datastore import _client, _entity, _google, _ours, _process

_THREADS = 8


def _megabytes() -> float:
    """Return the resident memory of the server under way: the process group of our child."""
    lines = subprocess.check_output(["ps", "-A", "-o", "ppid=,pgid=,rss="], text=True).splitlines()
    rows = [tuple(map(int, line.split())) for line in lines]
    groups = {group for parent, group, _ in rows if parent == os.getpid() and group != os.getpgrp()}
    return sum(kilobytes for _, group, kilobytes in rows if group in groups) / 1024


def _put(client: datastore.Client, count: int) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda number: client.put(_entity(client, "Item", number)), range(count)))


def _measure(name: str, command: list[str], port: int, puts: int) -> float:
    with _process(command, port) as address:
        idle = _megabytes()
        _put(_client(address), puts)
        full = _megabytes()
    print(f"{name:10}{idle:10,.0f} MB idle{full:10,.0f} MB after {puts:,} puts")
    return full


def main() -> None:
    """Run the servers that this machine has, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puts", type=int, default=16_000)
    puts = parser.parse_args().puts
    with tempfile.TemporaryDirectory() as folder:
        mine = _measure("ours", *_ours(folder), puts)
    if not (shutil.which("gcloud") and shutil.which("java")):
        print("without Google's emulator")
        return
    print(f"{'ratio':10}{mine / _measure('google', *_google(), puts):10.2f}x")


if __name__ == "__main__":
    main()
