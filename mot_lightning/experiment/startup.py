"""What a command sets for its process before it works: what is printed, and what becomes of freed memory."""

import ctypes
import logging
import warnings

# parameters of glibc's mallopt(3)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def quiet() -> None:
    """Silence what Lightning says of itself at each start, and warnings of what is meant as it is."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*treespec, LeafSpec.*", ".*in eval mode at the start.*"):
        warnings.filterwarnings("ignore", message=message)


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next step, where it would hand it back and fetch it anew.

    Fetched memory is cleared page by page, in every step. Other C libraries than glibc are left as
    they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
