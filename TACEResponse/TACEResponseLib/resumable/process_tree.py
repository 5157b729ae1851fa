"""A program beside this one that can be ended together with everything that it started."""

import contextlib
import os
import signal
import subprocess


def own_group() -> dict:
    """What `subprocess.Popen` is given for a process that `end_tree` can end; it has no console window."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def ask_to_stop(process: subprocess.Popen) -> None:
    """Ctrl-C, where a process without a console can be sent one; elsewhere end it."""
    if os.name == "nt":
        end_tree(process)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGINT)


def end_tree(process: subprocess.Popen) -> None:
    """End the process, started with `own_group`, and everything that it started and that is still there."""
    if os.name == "nt":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
