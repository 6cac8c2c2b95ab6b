"""Damaged captures do not hurt: editcap -E changes bytes at random, tshark shows what is left.

    test_corrupt.py                  a few seeds
    test_corrupt.py --seeds 500      as many as you have time for
    test_corrupt.py --valgrind       one of them under valgrind
"""

import argparse
import subprocess

from capture import Capture
from sessions import VERSIONS, key_log_line, send, usual_talk
from shark import DEMO_KEY, OTHER_KEY, Shark, keys

# Heavily damaged packets upset other dissectors too: what they say is not ours to judge, as long as tshark lives.
NOT_OURS = r"\[Malformed Packet"


def everything(versions=VERSIONS, cut=(30,)):
    cap = Capture()
    for i, version in enumerate(versions):
        for split in ((), cut):
            tcp = cap.tcp(client=("192.0.2.7", 51000 + 2 * i + len(split)))
            send(tcp, usual_talk(version, key=(DEMO_KEY, OTHER_KEY)[i % 2]), split=split)
    return cap


def damaged(shark, pcap, seed, probability):
    out = shark.path("damaged.pcap")
    # -o 54: headers up to TCP stay as they are, or there would be nothing of ours to see.
    command = ["editcap", "-F", "pcap", "--seed", str(seed), "-E", str(probability), "-o", "54", pcap, out]
    subprocess.run(command, check=True, capture_output=True)
    return out


def show(shark, pcap, options, prefix=()):
    shark.run("-r", pcap, *options, "-2", "-V", "-x", "-z", "tuya,tree", prefix=prefix, allow=NOT_OURS)


def many_seeds(shark, seeds):
    log = shark.write("key.log", key_log_line(usual_talk("3.5")))
    options = [*keys(DEMO_KEY, OTHER_KEY), "-o", "tuya.keylog:" + log]
    pcap = everything().save(shark.path("whole.pcap"))
    for seed in range(seeds):
        show(shark, damaged(shark, pcap, seed, (0.001, 0.01, 0.1)[seed % 3]), options)
        if seed % 100 == 99:
            print(f"{seed + 1} seeds", flush=True)
    print(f"{seeds} damaged captures dissected")


def under_valgrind(shark):
    cap = Capture()
    for i, version in enumerate(("3.3", "3.5")):
        talk = usual_talk(version)
        talk.frames = talk.frames[:6]
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), talk, split=(30,))
    pcap = damaged(shark, cap.save(shark.path("whole.pcap")), 1, 0.01)
    # Errors anywhere end the test; leaks are Wireshark's own, at its end.
    valgrind = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=no"]
    shark.env["G_SLICE"] = "always-malloc"
    shark.env["WIRESHARK_DEBUG_WMEM_OVERRIDE"] = "simple"  # every allocation a malloc(), so that valgrind sees it
    show(shark, pcap, keys(DEMO_KEY), prefix=valgrind)
    print("a damaged capture under valgrind: no errors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--valgrind", action="store_true")
    arguments = parser.parse_args()
    with Shark() as shark:
        under_valgrind(shark) if arguments.valgrind else many_seeds(shark, arguments.seeds)
