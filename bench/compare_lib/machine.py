"""Where and on what it was measured: a figure without these is worth nothing."""
import os
import platform
import subprocess


def git_commit(root):
    """With a mark when the files are not what was committed."""
    done = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty", "--abbrev=9", "--exclude", "*"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def cpu_model():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def describe(root):
    return {"commit": git_commit(root), "machine": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release()}
