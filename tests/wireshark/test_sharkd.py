"""Frames in any order, filters, and the file loaded again: sharkd is Wireshark's own engine behind a pipe, and does
what the Qt program does when one clicks around."""

import json
import random
import subprocess

from sessions import VERSIONS, send, usual_talk
from capture import Capture
from shark import DEMO_KEY, OTHER_KEY, Shark


class Sharkd:
    def __init__(self, shark):
        self.process = subprocess.Popen([shark.program, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env=shark.env, cwd=shark.folder, **shark.user)
        self.id = 0

    def ask(self, method, **params):
        self.id += 1
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"sharkd ended at {method} {params}"
        answer = json.loads(line)
        assert "error" not in answer, f"{method} {params}: {answer}"
        return answer["result"]

    def frame(self, number):
        """Tree, columns and bytes of all data sources."""
        return self.ask("frame", frame=number, proto=True, columns=True, bytes=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def labels(tree):
    return [text for node in tree for text in [node.get("l", ""), *labels(node.get("n", []))]]


def check(shark):
    cap = Capture()
    for i, version in enumerate(VERSIONS):
        send(cap.tcp(client=("192.0.2.7", 51000 + i)), usual_talk(version, key=(DEMO_KEY, OTHER_KEY)[i % 2]), split=(30,))
    pcap = cap.save(shark.path("talks.pcap"))
    devices = shark.write("devices.json", json.dumps([{"id": f"device{i}", "name": f"Plug {i}", "key": key, "mac": ""}
                                                      for i, key in enumerate((DEMO_KEY, OTHER_KEY))]))
    shark._open_up(shark.folder)
    d = Sharkd(shark)
    d.ask("load", file=pcap)
    rows = d.ask("frames", filter="tuya")
    numbers = [row["num"] for row in rows]
    closed = sum("no key fits" in str(row["c"]) for row in rows)
    assert closed > 0, "without keys, something has to stay closed"

    d.ask("setconf", name="tuya.devices", value=devices)
    d.ask("load", file=pcap)
    in_order = {n: d.frame(n) for n in numbers}
    assert not [n for n, f in in_order.items() if "no key fits" in str(f["col"])], "loaded again, with keys"
    shuffled = numbers * 2
    random.Random(7).shuffle(shuffled)
    for n in shuffled:
        assert d.frame(n) == in_order[n], f"frame {n} is not what it was"

    watts = [row["num"] for row in d.ask("frames", filter="tuya.dp.19 == 605")]
    assert len(watts) == 2 * len(VERSIONS), watts
    for n in watts:
        assert any("19: 605" in text for text in labels(in_order[n]["tree"])), labels(in_order[n]["tree"])

    d.ask("load", file=pcap)
    for n in reversed(numbers):
        assert d.frame(n) == in_order[n], f"loaded again, frame {n} is not what it was"
    d.close()
    print(f"{len(numbers)} frames, {len(shuffled)} times in random order, and loaded again")


if __name__ == "__main__":
    with Shark("sharkd") as shark:
        check(shark)
