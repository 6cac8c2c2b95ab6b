"""Run tshark with the plugin of this build, in a profile of its own.

    with Shark() as shark:
        shark.fields(pcap, "tuya.dp.value", filter="tuya.dp.id == 19")    # a list of lists of texts
        shark.frames(pcap)                                                # the tuya layer of each frame, as dicts
        shark.run("-r", pcap, "-z", "tuya,tree", "-q")                    # what it printed

The plugin is found in the environment variable TUYA_WIRESHARK_PLUGIN, which meson sets. It is copied into a folder of
plugins of the test's own, so that one that is installed does not get in its way, and tests can run side by side.

Wireshark loads plugins from such a folder for ordinary users only: it has a list of things it does not do for root.
Where the tests run as root, tshark therefore runs as "nobody".
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "helpers"))

PATIENCE_S = 120.0  # for slow machines under sanitizers
NOBODY = 65534
DEMO_KEY = "0123456789abcdef"
OTHER_KEY = "#fake-LOCAL-key!"

# A plugin that goes wrong does not always end tshark: it says so here, or in the tree.
TROUBLE = re.compile(r"Dissector bug, protocol|AddressSanitizer|runtime error:|\[\w* ?(?:WARNING|CRITICAL|ERROR)\]|"
                     r"\[Malformed Packet")


def keys(*rows):
    """Options that put keys into the table. A row: key, or (device, key, note)."""
    options = []
    for row in rows:
        device, key, note = row if isinstance(row, tuple) else ("*", row, "test")
        cells = ",".join('"' + cell.replace("\\", "\\x5c").replace('"', "\\x22") + '"' for cell in (device, key, note))
        options += ["-o", "uat:tuya_keys:" + cells]
    return options


class Shark:
    def __init__(self, program="tshark"):
        self.program = shutil.which(program) or program
        plugin = os.environ.get("TUYA_WIRESHARK_PLUGIN")
        if not plugin:
            raise SystemExit("TUYA_WIRESHARK_PLUGIN is not set: it is the path of tuya.so")
        self.folder = tempfile.mkdtemp(prefix="tuya-shark-")
        major_minor = re.search(r"(\d+\.\d+)\.", self._version()).group(1)
        plugins = os.path.join(self.folder, "plugins")
        os.makedirs(os.path.join(plugins, major_minor, "epan"))
        shutil.copy(plugin, os.path.join(plugins, major_minor, "epan", "tuya.so"))
        self.env = {**os.environ, "HOME": self.folder, "XDG_CONFIG_HOME": os.path.join(self.folder, "config"),
                    "WIRESHARK_PLUGIN_DIR": plugins, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        if os.environ.get("TUYA_WIRESHARK_PRELOAD"):
            self.env["LD_PRELOAD"] = os.environ["TUYA_WIRESHARK_PRELOAD"]
            # What Wireshark leaks at its end is Wireshark's.
            self.env["ASAN_OPTIONS"] = "detect_leaks=0:" + os.environ.get("ASAN_OPTIONS", "")
        self.user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self._open_up(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def _version(self):
        return subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout

    def _open_up(self, path):
        """tshark may run as somebody else: let it read, and write its profile."""
        if self.user:
            for at, _, files in os.walk(path):
                os.chown(at, NOBODY, NOBODY)
                for name in files:
                    os.chown(os.path.join(at, name), NOBODY, NOBODY)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def run(self, *arguments, prefix=(), expect=0, allow=None):
        """Run tshark; returns what it wrote to stdout. Fails on an exit code other than expect, and on words of
        trouble, unless allow (a regular expression) says that they are expected."""
        self._open_up(self.folder)
        p = subprocess.run([*prefix, self.program, *map(str, arguments)], capture_output=True, text=True,
                           errors="replace", timeout=PATIENCE_S, env=self.env, cwd=self.folder, **self.user)
        trouble = [t for t in TROUBLE.findall(p.stdout + p.stderr) if not (allow and re.search(allow, t))]
        if p.returncode != expect or trouble:
            sys.exit(f"{self.program} {' '.join(map(str, arguments))}\nexit code {p.returncode}, expected {expect}\n"
                     f"trouble: {trouble}\n{p.stdout[-3000:]}\n{p.stderr[-6000:]}")
        self.stderr = p.stderr
        return p.stdout

    def popen(self, *arguments):
        """Start tshark with pipes, for captures that come bit by bit."""
        self._open_up(self.folder)
        return subprocess.Popen([self.program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env=self.env, cwd=self.folder, **self.user)

    def fields(self, pcap, *names, filter=None, options=()):
        selected = ["-Y", filter] if filter else []
        columns = [x for name in names for x in ("-e", name)]
        out = self.run("-r", pcap, *options, *selected, "-T", "fields", *columns)
        return [line.split("\t") for line in out.splitlines()]

    def frames(self, pcap, options=(), filter="tuya"):
        """[{"frame": 4, "info": "..", "tuya": {..} or [{..}, ..]}, ..] of the frames that are ours."""
        out = self.run("-r", pcap, *options, "-Y", filter, "-T", "json", "--no-duplicate-keys", "-J", "tuya _ws.col frame")
        infos = self.fields(pcap, "frame.number", "_ws.col.Info", filter=filter, options=options)
        packets = json.loads(out)
        assert len(packets) == len(infos), f"{len(packets)} packets, {len(infos)} info columns"
        return [{"frame": int(number), "info": info, "tuya": packet["_source"]["layers"]["tuya"]}
                for packet, (number, info) in zip(packets, infos)]
