"""A capture of the simulator becomes seeds that the harnesses open under their own keys.

    capture_seeds.py SCRIPT TUYA_DUMP FUZZ_PROGRAM...        TUYA_SIM is in the environment"""
import os
import re
import subprocess
import sys
import tempfile

from sim import Sim


RATES = {"body": "50", "observer": "55"}  # percent of mutants past the integrity check; the others: 75
TAPES = ("device", "client", "observer")


def call(*command):
    done = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def check_conversation(seed, shown):
    """Both ends speak, nobody is misunderstood, and the client asks for what it asked for in the capture."""
    said = re.findall(r"(to|from) device: \w+ seq \d+ command (0x\w+) \w+, check value (\w+)", shown)
    asked = {int(command, 16) for way, command, _ in said if way == "to"}
    assert {way for way, _, _ in said} == {"to", "from"} and all(check == "right" for _, _, check in said), shown
    assert asked & {7, 13} and asked & {10, 16} and 9 in asked, shown


def main():
    script, dump, programs = sys.argv[1], sys.argv[2], sys.argv[3:]
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
        for program in programs:
            name = os.path.basename(program).removeprefix("fuzz_")
            seeds = os.listdir(os.path.join(corpus, name))
            versions = {seed[:6] for seed in seeds}
            assert len(versions) == 5, f"{name}: seeds of {versions} only"
            call(program, os.path.join(corpus, name))
            call(program, "--mutate", "2000", "--min-rate", RATES.get(name, "75"), os.path.join(corpus, name))
            for seed in seeds if name in TAPES else []:
                check_conversation(seed, call(program, "--show", os.path.join(corpus, name, seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
