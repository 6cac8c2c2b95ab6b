"""docs/openapi.json and the running server agree: every operation is served, every answer has the form it promises."""

import json
import os
import pathlib
import re
import unittest

from sim import Sim
from test_api import call

DOC = json.loads((pathlib.Path(__file__).parents[2] / "docs/openapi.json").read_text())
METHODS = ("get", "put", "post", "patch", "delete")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def resolve(schema):
    while "$ref" in schema:
        schema = DOC["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def is_type(value, name):
    if name in ("number", "integer"):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and (name == "number" or value == int(value))
    return isinstance(value, TYPES[name])


def violations(value, schema, at="$"):
    """What of a JSON value does not fit its schema; the keywords that our document uses."""
    schema = resolve(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_type(value, k) for k in kinds):
        return [f"{at} is {json.dumps(value)[:60]}, expected {kinds}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is {value!r}, expected one of {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at} is {value!r}, expected {schema['const']!r}")
    if isinstance(value, dict):
        found += [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
        for name, part in schema.get("properties", {}).items():
            if name in value:
                found += violations(value[name], part, f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            found += violations(item, schema["items"], f"{at}[{i}]")
    return found


# A request for every operation, and the status it has to get.
REQUESTS = {
    "page": (200, None), "health": (200, None), "listDevices": (200, None), "getDevice": (200, None),
    "getDps": (200, None), "setDps": (200, {"1": False}), "getLoad": (200, None),
    "setLoad": (200, {"watts": 60, "pf": 0.9}), "getFaults": (200, None), "addFault": (201, {"fault": "no_ack"}),
    "removeFaults": (200, None), "press": (200, None), "reboot": (200, {"down_ms": 0}), "listFaults": (200, None),
    "addFaultForAll": (201, {"fault": "latency:ms=1"}), "removeAllFaults": (200, None), "getJournal": (200, None),
    "clearJournal": (200, None), "verify": (200, {"count": {"min": 0}}), "getClock": (200, None),
    "advance": (200, {"ms": 1}), "reset": (200, None), "metrics": (200, None),
}
WRONG = {
    "getDevice": 404, "setDps": 422, "setLoad": 422, "addFault": 422, "addFaultForAll": 422, "getJournal": 400,
    "verify": 409,
}
WRONG_BODY = {"setDps": {"250": 1}, "setLoad": {"watts": -1}, "addFault": {"fault": "?"},
              "addFaultForAll": {"fault": "?"}, "verify": {"cmd": "CONTROL"}}


class OpenApi(unittest.TestCase):
    def operations(self):
        for path, item in DOC["paths"].items():
            for method in METHODS:
                if method in item:
                    yield path, method, item[method]

    def check(self, operation, status, answer):
        self.assertIn(str(status), operation["responses"], f"{operation['operationId']}: {answer}")
        (kind, content), = operation["responses"][str(status)]["content"].items()
        if kind == "application/json":
            self.assertEqual(violations(answer, content["schema"]), [], operation["operationId"])

    def test_every_operation_is_served_in_the_form_it_promises(self):
        with Sim("--clock", "virtual", control=True) as sim:
            with sim.client() as client:
                client.status()
                served = set()
                for path, method, operation in self.operations():
                    name = operation["operationId"]
                    if name == "events":
                        continue  # a stream: test_api.py
                    status, body = REQUESTS[name]
                    got, answer = call(sim, method.upper(), path.replace("{id}", sim.id), body)
                    self.assertEqual(got, status, f"{name}: {answer}")
                    self.check(operation, got, answer)
                    served.add(name)
                self.assertEqual(served, set(REQUESTS))

    def test_every_error_that_is_promised_has_its_form(self):
        with Sim(control=True) as sim:
            for path, method, operation in self.operations():
                name = operation["operationId"]
                if name not in WRONG:
                    continue
                at = path.replace("{id}", "nobody" if WRONG[name] == 404 else sim.id)
                at += "?cmd=SHOUT" if name == "getJournal" else ""
                got, answer = call(sim, method.upper(), at, WRONG_BODY.get(name))
                self.assertEqual(got, WRONG[name], f"{name}: {answer}")
                self.check(operation, got, answer)

    def test_methods_that_are_not_described_are_refused_with_what_is_allowed(self):
        with Sim(control=True) as sim:
            for path, item in DOC["paths"].items():
                for method in METHODS:
                    if method not in item:
                        got, answer = call(sim, method.upper(), path.replace("{id}", sim.id))
                        self.assertEqual(got, 405, f"{method} {path}: {answer}")

    def test_head_is_get_without_the_body(self):
        """Programs that wait for a server ask with HEAD."""
        with Sim(control=True) as sim:
            for path, item in DOC["paths"].items():
                at = path.replace("{id}", sim.id)
                got, answer = call(sim, "HEAD", at)
                self.assertEqual((got, answer), (200 if "get" in item else 405, ""), path)
            self.assertEqual(call(sim, "GET", "/healthz")[1]["status"], "ok")

    def test_every_route_of_the_source_is_described(self):
        sim = pathlib.Path(__file__).parents[2] / "sim"
        source = (sim / "control.c").read_text() + (sim / "control_devices.c").read_text()
        routes = set(re.findall(r'path_is\((?:p|what), "(/[^"]*)"\)', source))
        self.assertGreater(len(routes), 10)
        described = {p.replace("/devices/{id}", "", 1) or "/" if p.startswith("/devices/{id}") else p
                     for p in DOC["paths"]}
        self.assertEqual(routes - described, set())


if __name__ == "__main__":
    unittest.main()
