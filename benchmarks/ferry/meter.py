"""Runs one command and writes down what it took: ``meter.py REPORT LOG COMMAND...``.

A process of its own, and a small one: Linux lets the peak memory of a child begin at the size of its parent. It
imports nothing that is not in the interpreter already. The report is one line: exit code, seconds, seconds of
processor in the program and in the system, and peak memory in bytes, of the command with all its children.
"""

import os
import sys
import time

KIBIBYTE = 1 if sys.platform == "darwin" else 1024  # what getrusage counts memory in


def main() -> None:
    """Run the command, with its output in the log."""
    report, log, *command = sys.argv[1:]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    streams = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    with open(report, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is not in the interpreter already
        file.write(f"{code} {seconds} {usage.ru_utime} {usage.ru_stime} {usage.ru_maxrss * KIBIBYTE}\n")


main()
