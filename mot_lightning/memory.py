"""What becomes of memory that a step frees on the CPU; nothing of what it held."""

import ctypes

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next step, where it would hand it back and fetch it anew.

    Fetched memory is cleared page by page, in every step. Other C libraries than glibc are left as
    they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
