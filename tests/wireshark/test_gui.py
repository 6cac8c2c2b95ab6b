"""Wireshark itself, the Qt program, opens a 3.5 session under Xvfb and shows the watts.

What it dissected is told by a Lua listener inside the very process; that it has a window, by the X server.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

from sessions import usual_capture
from shark import DEMO_KEY, PATIENCE_S, Shark, keys

LUA = """
local watts, number = Field.new("tuya.dp.19"), Field.new("frame.number")
local out = assert(io.open(os.getenv("TUYA_GUI_RESULT"), "a"))
out:setvbuf("line")
out:write("gui ", tostring(gui_enabled()), "\\n")
local listener = Listener.new(nil, "tuya.dp.id == 19")
function listener.packet(pinfo, tvb)
    out:write("watts ", tostring(number()), " ", tostring(watts()), "\\n")
end
function listener.draw() end
function listener.reset() end
"""


def start_display(size="1024x768x24"):
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp"],
                              pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as f:
        number = f.readline().strip()
    if not number:
        sys.exit("Xvfb did not start")
    return server, ":" + number


def wait_for(what, condition, process, log):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.1)
    log.seek(0)
    sys.exit(f"{what} did not happen; Wireshark {'runs' if process.poll() is None else 'has ended'} and said:\n{log.read()}")


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def run(shark, display):
    result = shark.path("result.txt")
    with open(shark.path("plugins/watts.lua"), "w", encoding="utf-8") as f:
        f.write(LUA)
    pcap = usual_capture("3.5").save(shark.path("kettle-plug.pcap"))
    shark._open_up(shark.folder)
    env = {**shark.env, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "TUYA_GUI_RESULT": result,
           "XDG_RUNTIME_DIR": shark.folder}
    with tempfile.TemporaryFile("w+") as log:
        p = subprocess.Popen([shark.program, "-r", pcap, *keys(DEMO_KEY)], env=env, cwd=shark.folder, stdout=log,
                             stderr=log, **shark.user)
        try:
            wait_for("reading the capture", lambda: read(result).count("watts") >= 3, p, log)
            wait_for("showing a window", lambda: re.search(r"kettle-plug\.pcap", subprocess.run(
                ["xwininfo", "-root", "-tree", "-display", display], capture_output=True, text=True).stdout), p, log)
        finally:
            p.kill()
            p.wait()
    lines = read(result).split("\n")
    assert lines[0] == "gui true", lines
    assert lines[1:4] == ["watts 8 605", "watts 11 0", "watts 14 605"], lines
    print("Wireshark shows the watts: 605, 0, 605 (tenths)")


if __name__ == "__main__":
    server, display = start_display()
    try:
        with Shark("wireshark") as shark:
            run(shark, display)
    finally:
        server.kill()
        server.wait()
