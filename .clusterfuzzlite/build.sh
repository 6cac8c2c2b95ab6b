#!/bin/bash -eu
exec "$SRC/tuyawire/fuzz/oss-fuzz/build.sh"
