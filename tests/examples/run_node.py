"""Run my_client.test.js with the tuyapi that scripts/npm-install fetched."""

import os
import subprocess
import sys

from foreign import modules_or_skip

HERE = os.path.dirname(os.path.abspath(__file__))
env = {**os.environ, "NODE_PATH": modules_or_skip()}
sys.exit(subprocess.run(["node", os.path.join(HERE, "my_client.test.js")], env=env, timeout=120).returncode)
