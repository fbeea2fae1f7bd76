"""The command that runs, run once more where kernels are interpreted, or where they are not."""

import os
import subprocess
import sys

VARIABLE = "TRITON_INTERPRET"


def run_again(interpret: bool) -> int:
    """The exit status of the same command in a process that does, or does not, interpret.

    Raises:
        RuntimeError: the command is none of this package's, or this process is already set so, and lacks Triton.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    wanted = "1" if interpret else "0"
    if spec is None or not spec.name.startswith("tembed.bench") or os.environ.get(VARIABLE) == wanted:
        raise RuntimeError(f"this needs Triton, and a process that was started with {VARIABLE}={wanted}")
    command = [sys.executable, *sys.orig_argv[1:]]
    return subprocess.run(command, env={**os.environ, VARIABLE: wanted}, check=False).returncode
