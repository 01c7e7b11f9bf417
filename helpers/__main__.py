"""`pgbackup` on a backup host: the program, started so that Ctrl-C never shows a traceback."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Half of a second goes by before the program's own handlers are there.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from .program import main

if __name__ == "__main__":
    main()
