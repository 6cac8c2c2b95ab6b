"""How a project tests its client against tuya-sim, with pytest and nothing else (also: python3 test_my_client.py).

Copy the fixture; the rest is your client. TUYA_SIM names the program, if it is not in the PATH."""

import http.client
import json
import os
import socket
import subprocess
import sys

try:
    import pytest
except ImportError:  # only to keep this file runnable everywhere
    pytest = None


def start_plug(*options):
    """A plug of one's own, on a free port; it ends with the process that started it."""
    process = subprocess.Popen([os.environ.get("TUYA_SIM", "tuya-sim"), "--port", "0", "--control", "127.0.0.1:0",
                                "--discovery", "off", "--exit-with-parent", "--json", *options],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return process, json.loads(process.stdout.readline())


def ask(ready, method, path, body=None):
    """The control API: what the plug got, what it shall do."""
    connection = http.client.HTTPConnection(ready["control"])
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


def my_client_says_hello(host, port):
    """Your client goes here; this one knows just the empty heartbeat of protocol 3.3."""
    with socket.create_connection((host, port), timeout=5) as s:
        s.sendall(bytes.fromhex("000055aa00000001000000090000000872e818610000aa55"))
        return s.recv(1024)


def check_heartbeat(ready):
    assert len(my_client_says_hello("127.0.0.1", ready["port"])) == 28
    received = ask(ready, "POST", "/verify", {"device": ready["devices"][0]["id"], "cmd": "HEART_BEAT",
                                              "count": {"min": 1, "max": 1}})
    assert "error" not in received, received


if pytest:
    @pytest.fixture
    def plug():
        process, ready = start_plug("-P", "3.3")
        yield ready
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()

    def test_heartbeat_reaches_the_plug(plug):
        check_heartbeat(plug)


if __name__ == "__main__":
    plug_process, plug_ready = start_plug("-P", "3.3")
    check_heartbeat(plug_ready)
    plug_process.terminate()
    sys.exit(plug_process.wait(10))
