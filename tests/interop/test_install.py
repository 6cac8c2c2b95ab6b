#!/usr/bin/env python3
"""`meson install` into a staging folder, and a program built against what is there through pkg-config.

usage: test_install.py MESON BUILD-FOLDER SANITIZERS COMPILER..."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

MESON, BUILD, SANITIZE, *CC = sys.argv[1:] if len(sys.argv) > 4 else ("meson", "build", "none", "cc")
del sys.argv[1:]

# Seals an empty heart beat of 3.3; the expected bytes are those of zlib's CRC-32 over bytes 0 to 15.
CONSUMER = """
#include <stdio.h>
#include <tuyawire/tuyawire.h>
int main(void)
{
    tw_crypto *c;
    if (tw_crypto_new(&c, 1) != TW_OK)
        return 1;
    struct tw_message m;
    tw_message_init(&m, TW_V33, TW_TO_DEVICE, 1, TW_CMD_HEART_BEAT);
    uint8_t out[64], key[TW_KEY_LEN] = {0};
    size_t len;
    if (tw_message_seal(out, sizeof out, &len, c, &m, key, NULL) != TW_OK)
        return 1;
    for (size_t i = 0; i < len; i++)
        printf("%02x", out[i]);
    puts("");
    tw_crypto_free(c);
    return 0;
}
"""
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
HEART_BEAT = "000055aa00000001000000090000000872e818610000aa55"


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tuyawire-install-")
        subprocess.run([MESON, "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DESTDIR": cls.folder})
        pc = glob.glob(f"{cls.folder}/**/pkgconfig/tuyawire.pc", recursive=True)
        assert len(pc) == 1, f"expected one tuyawire.pc, found {pc}"
        cls.pc_folder = os.path.dirname(pc[0])
        cls.lib_folder = os.path.dirname(cls.pc_folder)
        with open(pc[0], encoding="utf-8") as f:
            cls.prefix = next(line.split("=")[1].strip() for line in f if line.startswith("prefix="))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def pkg_config(self, *arguments):
        paths = self.pc_folder + ":" + os.environ.get("PKG_CONFIG_PATH", "")
        return subprocess.run(["pkg-config", f"--define-variable=prefix={self.folder}{self.prefix}", *arguments,
                               "tuyawire"], check=True, capture_output=True, text=True,
                              env={**os.environ, "PKG_CONFIG_PATH": paths}).stdout.split()

    def compile(self, *arguments, compiler=None):
        flags = [] if SANITIZE == "none" else [f"-fsanitize={SANITIZE}"]
        result = subprocess.run([*(compiler or CC), *flags, *arguments], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def shared(self):
        return self.pkg_config("--libs")

    def static(self):
        archive = os.path.join(self.lib_folder, "libtuyawire.a")
        return [archive, *[x for x in self.pkg_config("--libs", "--static") if x != "-ltuyawire"]]

    def run_program(self, source, *link, compiler=None, standard="-std=c11"):
        program = os.path.join(self.folder, "program")
        self.compile(standard, "-Wall", "-Wextra", "-Werror", *self.pkg_config("--cflags"), source, "-o", program, *link,
                     compiler=compiler)
        return subprocess.run([program], capture_output=True, text=True,
                              env={**os.environ, "LD_LIBRARY_PATH": self.lib_folder})

    def consumer(self, ending):
        source = os.path.join(self.folder, "consumer" + ending)
        with open(source, "w", encoding="utf-8") as f:
            f.write(CONSUMER)
        return source

    def test_a_program_links_with_the_shared_and_with_the_static_library(self):
        for link in (self.shared(), self.static()):
            result = self.run_program(self.consumer(".c"), *link)
            self.assertEqual((result.returncode, result.stdout.strip()), (0, HEART_BEAT), result.stderr)

    def test_a_c_plus_plus_program_links_with_either(self):
        name = "clang++" if "clang" in os.path.basename(CC[0]) else "g++"
        if shutil.which(name) is None:
            self.skipTest(f"there is no {name}")
        for link in (self.shared(), self.static()):
            result = self.run_program(self.consumer(".cpp"), *link, compiler=[name], standard="-std=c++11")
            self.assertEqual((result.returncode, result.stdout.strip()), (0, HEART_BEAT), result.stderr)

    def test_the_examples_build_as_they_say(self):
        for name, does in (("open_frame", "1 = true"), ("fake_plug", "the plug says"), ("client_blocking", "")):
            for link in (self.shared(), self.static()):
                with self.subTest(name):
                    result = self.run_program(os.path.join(EXAMPLES, name + ".c"), *link)
                    self.assertIn(does, result.stdout)
                    self.assertEqual(result.returncode, 0 if does else 2, result.stderr)

    def test_programs_are_installed_and_start(self):
        for name in ("tuya-sim", "tuya-dump", "tuya-ctl"):
            with self.subTest(name):
                program = f"{self.folder}{self.prefix}/bin/{name}"
                result = subprocess.run([program, "--version"], capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
