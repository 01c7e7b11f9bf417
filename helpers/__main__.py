"""`pgbackup` on a backup host: the program, started so that Ctrl-C never shows a traceback."""

from __future__ import annotations

import gc
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Half of a second goes by before the program's own handlers are there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

gc.disable()  # looking for garbage amid the imports takes a fifth of their time, and finds none

from .program import main  # noqa: E402 - what stands above is to be done before

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    main()
