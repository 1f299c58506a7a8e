"""What a process that carries asks of its system."""

import subprocess
import sys

FEW = """
from nightferry.machine import prepare
import resource
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
prepare()
soft, after = resource.getrlimit(resource.RLIMIT_NOFILE)
assert after == hard, (after, hard)
assert soft == (8192 if hard == resource.RLIM_INFINITY else min(8192, hard)), soft
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 210))
prepare()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (210, 210)
"""
ANYWHERE = "from nightferry.machine import prepare; prepare(); prepare()"


def test_as_many_files_may_be_open_as_carrying_needs_and_the_hard_limit_lets() -> None:
    code = ANYWHERE if sys.platform == "win32" else FEW
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
