#!/usr/bin/env python3
"""Runs a program that the kernel tells nothing of its network, as Android does to apps.

usage: no_news.py PROGRAM [ARGUMENTS]

Non-blocking sockets of netlink, by which news come, are refused. Others, by which
the C library asks what there is, work as ever. Numbers are those of x86-64.
"""

import ctypes
import os
import struct
import sys

SOCKET, AF_NETLINK, NONBLOCK = 41, 16, 0x800
ALLOW, ERRNO, EACCES = 0x7FFF0000, 0x00050000, 13
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
AUDIT_X86_64 = 0xC000003E
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
# Of seccomp_data: the call's number, the architecture, two arguments.
NUMBER, ARCHITECTURE, FAMILY, TYPE = 0, 4, 16, 24


def main():
    program = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 7, AUDIT_X86_64),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 5, SOCKET),
        (LOAD, 0, 0, FAMILY),
        (EQUAL, 0, 3, AF_NETLINK),
        (LOAD, 0, 0, TYPE),
        (ANY_BIT, 0, 1, NONBLOCK),
        (RETURN, 0, 0, ERRNO | EACCES),
        (RETURN, 0, 0, ALLOW),
    ]
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
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
