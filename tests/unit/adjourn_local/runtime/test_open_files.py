import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from adjourn_local.runtime.open_files import allow_many

soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"), [(256, 4096, 4096), (256, 256, 256), (4096, 4096, 4096)]
)
def test_a_process_may_have_as_many_open_files_as_its_hard_limit_allows(soft, hard, allowed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(allowed), str(hard)]
