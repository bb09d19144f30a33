"""no_made_code.py PROGRAM [ARG...]: runs it where no memory is both writable and executable,
nor is made executable later, as systemd's filter for MemoryDenyWriteExecute= has it."""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
MMAP, MPROTECT, PKEY_MPROTECT = {"x86_64": (9, 10, 329), "aarch64": (222, 226, 288)}[
    platform.machine()]
LOAD, AND, JUMP_IF_EQUAL, JUMP_IF_SET, RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
PROT = 16 + 2 * 8  # the low half of the third argument
WRITE, EXEC = 2, 4

code = b"".join(struct.pack("HBBI", *op) for op in (
    (LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 3, 0, MMAP), (JUMP_IF_EQUAL, 5, 0, MPROTECT),
    (JUMP_IF_EQUAL, 4, 0, PKEY_MPROTECT), (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, PROT), (AND, 0, 0, WRITE | EXEC), (JUMP_IF_EQUAL, 2, 3, WRITE | EXEC),
    (LOAD, 0, 0, PROT), (JUMP_IF_SET, 0, 1, EXEC),
    (RETURN, 0, 0, FAIL | errno.EPERM), (RETURN, 0, 0, ALLOW)))
buffer = ctypes.create_string_buffer(code, len(code))
program = ctypes.create_string_buffer(
    struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
        or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0):
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
