"""Damaged captures do not hurt: editcap -E changes bytes at random, tshark shows what is left. That stops at the
check value; so a peer that has the key says nonsense, too.

    test_corrupt.py                  a few seeds
    test_corrupt.py --seeds 500      as many as you have time for
    test_corrupt.py --valgrind       one of them under valgrind
"""

import argparse
import random
import subprocess

from capture import Capture
from sessions import VERSIONS, Talk, key_log_line, send, usual_talk
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


ODD = ['{"dps":{"1":1e999,"2":-0.0,"4294967296":1,"-1":2,"x":3,"3":12345678901234567890123}}', '{"dps":{}}', '{"dps":[]}',
       '{"dps":{"1":{"a":[[[1]]]},"2":"\\u0000\\ud800","3":"' + "\u00e4" * 200 + '"}}', '{"dps":{"1":"' + "x" * 9000 + '"}}',
       '{"dps":{' + ",".join(f'"{i}":{i}' for i in range(3000)) + '}}', '{"dpId":[19,-1,99999999999,"x",null]}',
       '{"data":{"dps":{"1":true},"cid":"' + "c" * 300 + '"},"reqType":"%s%n"}', "[" * 5000, '{"a":' * 40 + "1" + "}" * 40,
       '{"dps":{"1":true}}\0\0\0', "\x7f\x1b[31mred", '{"devId":"' + "d" * 5000 + '","dps":{"1":"%n%s"}}']


def nonsense(rng):
    """A payload: JSON that is odd, or that was odd before some of its bytes changed."""
    data = bytearray(rng.choice(ODD).encode("utf-8"))
    for _ in range(rng.choice((0, 0, 1, 3, 30))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[:rng.randrange(1, len(data) + 1)] if rng.random() < 0.2 else data)


def sealed_nonsense(shark, seed, n=150):
    rng = random.Random(seed)
    cap = Capture(step_ms=1)
    for i, version in enumerate(VERSIONS):
        talk = Talk(version)
        for _ in range(n // len(VERSIONS)):
            header = rng.choice(("auto", None, b"3.9" + rng.randbytes(12)))
            if header not in ("auto", None) and version == "3.1":
                header = "auto"
            cmd = rng.choice((*range(0, 0x13), 0x40, 0x99, 0xFFFFFFFF))
            (talk.ask if rng.random() < 0.5 else talk.tell)(cmd, nonsense(rng), header=header)
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), talk)
    pcap = cap.save(shark.path("sealed.pcap"))
    show(shark, pcap, keys(DEMO_KEY))
    opened = shark.fields(pcap, "tuya.key", filter='tuya.key == "session" || tuya.key == "local"', options=keys(DEMO_KEY))
    assert len(opened) > n // 3, f"only {len(opened)} of {n} messages could be opened: nothing was tested"


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
        if arguments.valgrind:
            under_valgrind(shark)
        else:
            many_seeds(shark, arguments.seeds)
            for seed in range(arguments.seeds // 3):
                sealed_nonsense(shark, seed)
            print(f"{arguments.seeds // 3} captures of sealed nonsense dissected")
