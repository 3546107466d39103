"""Real processes and a real kill -9: whoever was started by the one that is killed ends with it."""

import os
import signal
import subprocess
import sys

import psutil

# the parent starts a child that never reads anything, and says when the child is bound to it
CHILD = "import os, signal; from mlbench.measurement.lifeline import die_with; die_with({}); print('bound'); {}"
PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-uc", {code!r}.format(os.getpid(), "signal.pause()")])
print(child.pid, flush=True)
child.wait()
"""


def test_it_ends_in_the_middle_of_a_call_when_its_parent_is_killed() -> None:
    code = PARENT.format(code=CHILD)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline().strip() == "bound"
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs([child], timeout=5)
    assert not alive


def test_it_ends_at_once_when_its_parent_is_gone_already() -> None:
    nobody = os.getpid() + 1  # not the parent of what is started here
    code = CHILD.format(nobody, "print('went on')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == ""
