"""What `import tembed` takes once torch has been imported."""

import os
import subprocess
import sys
from pathlib import Path

MOST_SECONDS = 0.050
RUNS = 5
# Imports in forks of one process that has torch already, from files that are compiled, as an installed package's are;
# and the processor's time, for others use it too.
TIMED = f"""
import os, sys, time
import torch
sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv[1]
for _ in range({RUNS}):
    read, write = os.pipe()
    if not os.fork():
        began = time.process_time()
        import tembed
        os.write(write, f"{{time.process_time() - began}} {{'triton' in sys.modules}}".encode())
        os._exit(0)
    os.wait()
    print(os.read(read, 100).decode())
"""


def test_import_takes_at_most_fifty_milliseconds_more_than_torch_and_no_triton(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", TIMED, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds, triton = zip(*map(str.split, done.stdout.splitlines()), strict=True)
    assert len(seconds) == RUNS
    assert min(map(float, seconds)) <= MOST_SECONDS, seconds
    assert set(triton) == {"False"}
