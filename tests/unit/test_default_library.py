"""Setup succeeds for each kind of library that distributions ask for.

    test_default_library.py SOURCE

Skips (77) where there is no meson to be called"""
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    if shutil.which("meson") is None:
        print("meson is not in PATH")
        return 77
    for kind in ("static", "shared"):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["meson", "setup", os.path.join(folder, "b"), sys.argv[1], f"-Ddefault_library={kind}",
                                   "-Dprograms=false"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                print(f"{kind}:\n{done.stdout[-3000:]}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
