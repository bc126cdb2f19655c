"""How long one small write takes until it is on this disk: what a broker has to wait for that acknowledges nothing before. Measured between the runs, in the same minutes."""
import mmap
import os
import statistics
import tempfile
import time

BLOCK = 4096
BLOCKS = 64  # written over and over, as a journal of files that are cleared ahead of time writes


def flush_times(folder, count):
    """Seconds of each of `count` writes, in a file of this folder's file system; around the page cache where that can be done."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="tidewire-flush-") as directory:
        path = os.path.join(directory, "flush")
        with open(path, "wb") as f:
            f.write(bytes(BLOCK * BLOCKS))
            os.fsync(f.fileno())
        fd = open_for_flushes(path)
        try:
            with mmap.mmap(-1, BLOCK) as block:  # aligned, as direct writes have to be
                return [time_one(fd, block, n % BLOCKS * BLOCK) for n in range(count)]
        finally:
            os.close(fd)


def open_for_flushes(path):
    try:
        return os.open(path, os.O_WRONLY | os.O_DSYNC | os.O_DIRECT)
    except OSError:
        return os.open(path, os.O_WRONLY | os.O_DSYNC)


def time_one(fd, block, offset):
    began = time.perf_counter()
    os.pwrite(fd, block, offset)
    return time.perf_counter() - began


def summarize(times):
    """As the figures of brokers, in ns; None if nothing was measured."""
    if not times:
        return None
    ns = sorted(t * 1e9 for t in times)
    return {"count": len(ns), "mean": statistics.fmean(ns), "p50": ns[len(ns) // 2], "p99": ns[len(ns) * 99 // 100], "max": ns[-1]}
