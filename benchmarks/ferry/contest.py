"""Interleaved contests: in every round each client has one run, so that a slow minute is slow for all."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ferry.clients import Client, Server
from benchmarks.ferry.measure import Failed, Run, measure
from benchmarks.ferry.trees import Tree

PATIENCE, LONG_PATIENCE = 300.0, 1200.0


@dataclass(slots=True)
class Contest:
    """All runs of some clients at one piece of work; the first client is ours. ``deeds`` is what each does."""

    kind: str
    title: str
    tree: Tree
    runs: dict[str, list[Run]] = field(default_factory=dict)
    deeds: dict[str, str] = field(default_factory=dict)


def compete(
    contest: Contest, server: Server, clients: Sequence[Client], *, place: Path, rounds: int, keeps: bool = False
) -> Contest:
    """Run every client ``rounds`` times, in another order each time, and write down what each run took.

    Each run begins with an empty folder and a new ledger, and must end with every byte there. With ``keeps``
    the folder stays from run to run and nothing may come into it.
    """
    for client in clients:
        contest.runs[client.name], contest.deeds[client.name] = [], client.does
    for turn in range(rounds):
        shift = turn % len(clients)
        for client in [*clients[shift:], *clients[:shift]]:
            with _unchanged(place) if keeps else _emptied(place):
                call = client.call(server, contest.tree.name, place)
                run = measure(call.command, place, call.environment, patience=PATIENCE)
                if not keeps:
                    _require_all(place / "target", contest.tree, client)
            contest.runs[client.name].append(run)
            tell(f"  {contest.title}, {turn + 1} of {rounds}: {client.name} {run.seconds:.2f} s")
    return contest


def carry_once(server: Server, tree: Tree, client: Client, place: Path) -> Run:
    """Carry a tree into ``place`` and leave it there."""
    place.mkdir(parents=True, exist_ok=True)
    call = client.call(server, tree.name, place)
    run = measure(call.command, place, call.environment, patience=LONG_PATIENCE)
    _require_all(place / "target", tree, client)
    return run


def tell(line: str) -> None:
    """Say how far we are, on stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


@contextmanager
def _emptied(place: Path) -> Iterator[None]:
    """Begin with an empty folder and leave none behind: its pages would be missing to the next client."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _unchanged(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    before = _held(place / "target")
    yield
    if _held(place / "target") != before:
        raise Failed(f"{place}: something came, or went, where nothing should")


def _require_all(target: Path, tree: Tree, client: Client) -> None:
    if (found := _held(target)) != (tree.files, tree.bytes):
        raise Failed(f"{client.name} brought {found} (files, bytes) of {(tree.files, tree.bytes)}")


def _held(folder: Path) -> tuple[int, int]:
    """Count the files below a folder, and their bytes."""
    files = size = 0
    for path, _, names in os.walk(folder):
        files += len(names)
        size += sum(os.lstat(f"{path}/{name}").st_size for name in names)
    return files, size
