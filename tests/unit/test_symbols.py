"""What libtuyawire exports, needs and keeps: tw_ names out, almost nothing in, no memory between calls.

usage: test_symbols.py NM SHARED_LIB STATIC_LIB [--sanitized]
"""
import re
import subprocess
import sys

nm_program, shared, static = sys.argv[1:4]
sanitized = "--sanitized" in sys.argv

# All that the library may ask of its surroundings. A new name here is a decision: sockets, files, clocks, threads,
# randomness, stdio and the environment belong to the programs.
C_LIBRARY = {
    "memchr", "memcmp", "memcpy", "memmove", "memset", "strlen", "strcmp", "strncmp", "strchr",
    "malloc", "calloc", "realloc", "free",
    "bcmp",  # clang's own way to ask memcmp() for equality
}
CRC = {"libdeflate_crc32"}  # crc.c
CRYPTO = re.compile(r"(EVP|OPENSSL|OSSL|CRYPTO|SHA256|MD5|HMAC|ERR|RAND|BN|AES)_")  # crypto_openssl.c
COMPILER = re.compile(r"_GLOBAL_OFFSET_TABLE_|__stack_chk_\w+|__(asan|ubsan|sanitizer|sancov|gcov|llvm|afl)_\w+"
                      r"|__tls_get_addr|__(start|stop)_\w+|__x86\.get_pc_thunk\.\w+"
                      r"|__u?(div|mod|divmod)[dt]i\d|__(ctz|clz)[dt]i2")  # 64-bit arithmetic of 32-bit machines


# GNU nm shows what a compiler's plugin tells of objects that are to be optimised once more, and that has no sections.
# Such objects hold ordinary code as well: without a plugin it is shown.
is_gnu = "GNU nm" in subprocess.run([nm_program, "--version"], stdout=subprocess.PIPE, text=True).stdout
ORDINARY = ["--plugin=/dev/null"] if is_gnu else []


def nm(*args):
    out = subprocess.run([nm_program, *ORDINARY, *args], check=True, stdout=subprocess.PIPE, text=True).stdout
    return out.splitlines()


def fortified(name):
    """__memcpy_chk is memcpy."""
    match = re.fullmatch(r"__(\w+)_chk", name)
    return match.group(1) if match else name


def check_exports():
    names = [line.split()[-1].split("@")[0] for line in nm("-D", "--defined-only", shared)]
    names = [name for name in names if not COMPILER.fullmatch(name)]
    assert len(names) > 50, f"only {len(names)} names are exported: is this the library?"
    strange = [name for name in names if not re.fullmatch(r"tw_[a-z][a-z0-9_]*", name)]
    assert not strange, f"the shared library exports {strange}"


def check_needs():
    member, n_members, problems = None, 0, []
    for line in nm("-u", static):
        if line.endswith(":"):
            member = line[:-1]
            n_members += 1
            continue
        if not line.strip():
            continue
        name = fortified(line.split()[-1])
        ours = name.startswith("tw_")
        crc = name in CRC and "crc" in member
        crypto = CRYPTO.match(name) and "crypto_openssl" in member
        if not (ours or crc or crypto or name in C_LIBRARY or COMPILER.fullmatch(name)):
            problems.append(f"{member} needs {name}")
    assert n_members > 10, f"only {n_members} objects were seen"
    assert not problems, "\n".join(problems)


def check_memory():
    """No variable is writable: what a call leaves behind is in its arguments, nowhere else."""
    rows = [[cell.strip() for cell in line.split("|")] for line in nm("--format=sysv", static)]
    variables = [(row[0], row[6]) for row in rows if len(row) == 7 and re.match(r"\.(data|bss|tdata|tbss|rodata)", row[6])]
    assert len(variables) > 10, "no tables were seen"
    writable = [f"{name} in {section}" for name, section in variables
                if not section.startswith((".rodata", ".data.rel.ro"))]  # the latter: read-only once loaded
    assert not writable, f"global variables in the library: {writable}"


check_exports()
check_needs()
if not sanitized:  # sanitizers keep their tables in .data
    check_memory()
