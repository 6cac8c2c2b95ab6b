"""A capture of the simulator becomes seeds that the harnesses open under their own keys.

    capture_seeds.py SCRIPT TUYA_DUMP FUZZ_OPEN FUZZ_FRAME FUZZ_BODY        TUYA_SIM is in the environment"""
import os
import subprocess
import sys
import tempfile

from sim import Sim


def call(*command):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def main():
    script, dump, fuzz_open, fuzz_frame, fuzz_body = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        corpus = os.path.join(folder, "corpus")
        for version in ("3.1", "3.2", "3.3", "3.4", "3.5"):
            path = os.path.join(folder, version + ".pcapng")
            devices = os.path.join(folder, version + ".json")
            with Sim("-P", version, "--key", "a key of its own", "--write", path, "--devices-out", devices) as sim:
                with sim.client() as client:
                    client.query()  # 3.2 refuses it, which is a message, too
                    client.set({"1": False})
                    client.heartbeat()
                port = sim.port
                sim.stop()
            call(script, dump, corpus, "sim" + version, "-r", path, "--devices", devices, "--port", port)
        for program in (fuzz_open, fuzz_frame, fuzz_body):
            name = os.path.basename(program).removeprefix("fuzz_")
            seeds = os.listdir(os.path.join(corpus, name))
            versions = {seed[:6] for seed in seeds}
            assert len(versions) == 5, f"{name}: seeds of {versions} only"
            call(program, os.path.join(corpus, name))
            call(program, "--mutate", "2000", "--min-rate", "50" if name == "body" else "75", os.path.join(corpus, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
