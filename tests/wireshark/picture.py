"""Make docs/img/wireshark.png: the real program under Xvfb, with a 3.5 session of tuya-sim in it.

    TUYA_WIRESHARK_PLUGIN=build/tools/wireshark/tuya.so TUYA_SIM=build/sim/tuya-sim \\
        python3 tests/wireshark/picture.py docs/img/wireshark.png

It takes wireshark, Xvfb, xdotool, xwd and ImageMagick's convert. Run it when the tree or the columns change, and look
at what came out: the places to click at are counted in pixels.
"""

import json
import os
import subprocess
import sys
import time

import shark as _  # noqa: F401  (puts the helpers into the path)
from shark import Shark
from sim import Sim
from test_gui import start_display

WIDTH, HEIGHT = 1200, 1000
# Open the Tuya tree, its data points, and the watts in them; then move the pointer out of the picture.
STEPS = ("mousemove 150 381 click 1", "key Right", "mousemove 100 704 click 1", "key Right", "key Down", "key Down",
         "key Right", "mousemove 1190 990")
MAPPING = {
    "1": {"code": "switch_1", "type": "Boolean", "values": {}},
    "9": {"code": "countdown_1", "type": "Integer", "values": {"unit": "s", "scale": 0}},
    "18": {"code": "cur_current", "type": "Integer", "values": {"unit": "mA", "scale": 0}},
    "19": {"code": "cur_power", "type": "Integer", "values": {"unit": "W", "scale": 1}},
    "20": {"code": "cur_voltage", "type": "Integer", "values": {"unit": "V", "scale": 1}},
}


def session(capture):
    with Sim("-P", "3.5", "--clock", "virtual", "--seed", "7", "--discovery", "off", "--write", capture,
             control=True) as sim:
        with sim.client() as client:
            client.query()
            client.set({"1": True})
            sim.request("PUT", f"/devices/{sim.id}/load", {"watts": 1960.0})
            sim.request("POST", "/clock/advance", {"ms": 9000})
            client.receive_push()
            client.heartbeat()
            client.set({"1": False})
        sim.stop()
        return [{"name": "Kettle plug", "id": sim.id, "key": sim.key, "mac": "", "mapping": MAPPING}]


def settle(shark):
    """A profile with this window, these columns, and no questions."""
    folder = os.path.join(shark.folder, "config", "wireshark")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "preferences"), "w", encoding="utf-8") as f:
        f.write("gui.update.enabled: FALSE\ngui.ask_unsaved: FALSE\ngui.geometry.save.position: TRUE\n"
                "gui.geometry.save.size: TRUE\ngui.layout_type: 1\n")
    with open(os.path.join(folder, "recent"), "w", encoding="utf-8") as f:
        f.write(f"gui.geometry_main_x: 0\ngui.geometry_main_y: 0\ngui.geometry_main_width: {WIDTH}\n"
                f"gui.geometry_main_height: {HEIGHT}\ngui.geometry_main_maximized: FALSE\n"
                "gui.geometry_main_upper_pane: 210\ngui.geometry_main_lower_pane: 560\n"
                "column.width: %m, 45, %t, 85, %s, 85, %d, 85, %p, 65, %L, 55, %i, 700\n")


def main(out):
    with Shark("wireshark") as shark:
        capture = shark.path("kettle-plug.pcapng")
        devices = shark.write("devices.json", json.dumps(session(capture)))
        settle(shark)
        shark._open_up(shark.folder)
        server, display = start_display(f"{WIDTH}x{HEIGHT}x24")
        env = {**shark.env, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": shark.folder}
        p = subprocess.Popen([shark.program, "-r", capture, "-o", "tuya.devices:" + devices, "-Y", "tuya", "-g", "12"],
                             env=env, cwd=shark.folder, stderr=subprocess.DEVNULL, **shark.user)
        try:
            time.sleep(6)
            for step in STEPS:
                subprocess.run(["xdotool", *step.split()], env={**os.environ, "DISPLAY": display}, check=True)
                time.sleep(0.5)
            time.sleep(1)
            picture = subprocess.run(["xwd", "-root", "-silent", "-display", display], check=True,
                                     capture_output=True).stdout
            subprocess.run(["convert", "xwd:-", "-colors", "128", "-strip", f"png8:{out}"], input=picture, check=True)
        finally:
            p.kill()
            p.wait()
            server.kill()
            server.wait()


if __name__ == "__main__":
    main(sys.argv[1])
