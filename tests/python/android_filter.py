#!/usr/bin/env python3
"""Runs a program under a filter of system calls as Android puts on apps.

usage: android_filter.py trap|enosys|eperm PROGRAM [ARGUMENTS]

What Android's list does not have ends the program (trap, as there), or fails with
the error that a policy elsewhere answers with. Numbers are those of x86-64. Calls
that only x86-64 has for what newer ones do (open, poll, mkdir, …) are let through: a
64-bit phone has the newer ones alone.
"""

import ctypes
import os
import struct
import sys

DENIED = {
    "set_robust_list": 273,
    "get_robust_list": 274,
    "rseq": 334,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "clone3": 435,
    "openat2": 437,
    "faccessat2": 439,
    "landlock_create_ruleset": 444,
    "futex_waitv": 449,
    "fchmodat2": 452,
    "cachestat": 451,
    "shmget": 29,
    "semget": 64,
    "msgget": 68,
    "mq_open": 240,
    "add_key": 248,
    "keyctl": 250,
    "name_to_handle_at": 303,
    "kcmp": 312,
    "sethostname": 170,
    "chroot": 161,
    "mount": 165,
    "setuid": 105,
    "setgid": 106,
    "setgroups": 116,
    "settimeofday": 164,
    "adjtimex": 159,
    "clock_adjtime": 305,
    "clock_settime": 227,
    "acct": 163,
    "swapon": 167,
    # On the lists of Android 12 and later only.
    "close_range": 436,
    "pidfd_open": 434,
    "epoll_pwait2": 441,
    "statx": 332,
}
ALLOW, TRAP, ERRNO = 0x7FFF0000, 0x00030000, 0x00050000
ENOSYS, EPERM = 38, 1
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
AUDIT_X86_64 = 0xC000003E


def main():
    action = {"trap": TRAP, "enosys": ERRNO | ENOSYS, "eperm": ERRNO | EPERM}[sys.argv[1]]
    numbers = sorted(DENIED.values())
    load, equal, ret = 0x20, 0x15, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, AUDIT_X86_64), (ret, 0, 0, ALLOW), (load, 0, 0, 0)]
    for i, number in enumerate(numbers):
        program.append((equal, len(numbers) - i, 0, number))
    program += [(ret, 0, 0, ALLOW), (ret, 0, 0, action)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    head = ctypes.create_string_buffer(head)
    libc = ctypes.CDLL(None, use_errno=True)
    null = ctypes.c_ulong(0)
    for call in (
        (PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), null, null, null),
        (PR_SET_SECCOMP, ctypes.c_ulong(FILTER), ctypes.c_void_p(ctypes.addressof(head)), null, null),
    ):
        if libc.prctl(*call) != 0:
            sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
