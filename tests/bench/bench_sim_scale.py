"""Ten thousand plugs in one process: how soon they accept, what an idle device and an idle connection cost, and whether
a control takes longer than with one device. Prints; aims: 120 ms, 256 bytes, 512 bytes, 1.0."""

import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "helpers"))
from sim import Sim  # noqa: E402

N, CONNECTIONS, TURNS = 10000, 1000, 5


def memory(sim):
    """Private bytes of the process."""
    with open(f"/proc/{sim.process.pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Private_"))


def ready_ms(*options):
    """From the start of the process to the ready line; best of some."""
    best = None
    for _ in range(TURNS):
        begin = time.monotonic()
        with Sim(*options):
            ms = (time.monotonic() - begin) * 1000
        best = ms if best is None else min(best, ms)
    return best


def control_ms(sim, n=100):
    with sim.client() as c:
        times = []
        for i in range(n):
            begin = time.monotonic()
            c.set({"9": 100 + i}, push=False)
            times.append((time.monotonic() - begin) * 1000)
    return statistics.median(times)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "devices.json")
        with Sim("--count", N, "-P", "3.3:40,3.4:40,3.5:20", "--devices-out", path):
            pass
        one = ready_ms()
        print(f"ready: one device {one:.0f} ms, --count {N} {ready_ms('--count', N):.0f} ms, "
              f"--devices ({os.path.getsize(path) >> 20} MB) {ready_ms('--devices', path):.0f} ms, "
              f"one address each {ready_ms('--count', N, '--spread', 'address'):.0f} ms")
        # On one core: a wake-up across cores takes longer than a control, and it is chance who gets one.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with Sim() as small, Sim("--devices", path) as large:
            print(f"idle device: {(memory(large) - memory(small)) / N:.0f} bytes beyond the process")
            ratios = [control_ms(large) / control_ms(small) for _ in range(TURNS)]
            print(f"control of one of {N}: {statistics.median(ratios):.2f} of the time with one device")
    with Sim("-P", "3.5", "--max-clients", 0) as sim:
        clients = [sim.client() for _ in range(2 * CONNECTIONS)]
        for i, c in enumerate(clients):
            if i == CONNECTIONS:  # by now the key schedules kept ready, which are bounded, are all there
                before = memory(sim)
            c.connect()
            c.heartbeat()
        print(f"idle 3.5 connection: {(memory(sim) - before) / CONNECTIONS:.0f} bytes, socket of the kernel not counted")
        for c in clients:
            c.close()


if __name__ == "__main__":
    main()
