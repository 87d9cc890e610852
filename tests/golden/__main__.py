"""Golden files: all that a user of dlka gets, written down, so that a restructuring shows what it has changed.

    python -m tests.golden compare                           # after a change: what differs, by name; exit status 1
    python -m tests.golden compare --only figures replays    # some sections
    python -m tests.golden write --only help                 # what was changed on purpose: the new files, to commit

From the repository's root, with everything of tests/requirements.txt, and chromium for the section `seen`. The files
are in tests/golden/stored, one a section:

    readme      the README's headings, lists, tables and commands; what its Python prints
    names       the names of `import dlka` with their signatures
    help        the help text of every command
    refusals    the sentence and exit status of every mistake on the command line
    results     what commands print, write and return, on pictures and weights that ship
    figures     every kind of figure by the endpoint /figure: PNG, SVG, PDF, NPZ, caption
    recipes     a recipe of every kind of figure, whole
    replays     what `python -m dlka replay` makes of the stored recipes, which have to work for ever
    endpoints   all named endpoints with parameters and answers, tools for assistants, refusals
    shown       every component of the page as it is served: words, choices, limits
    seen        words, alternative texts and downloads of every tab and page, in a browser

Only doors that a user has are used: the command line, HTTP, a browser, `import dlka`. Where a name that users type is
changed on purpose (a figure's kind, an argument, a flag), the tables in commands.py and page.py follow; then `write`
that section and read its diff before it is committed.

A line is "within tolerance" where a reader would see the same: decimals by their last digit or a thousandth, pixels by
one level in a coarse picture, arrays by a thousandth of their largest value. On one machine with the same packages
nothing at all should be printed; other processors and numbers of threads may move last digits. Everything else is
"DIFFERENT": words, counts, the number of decimals, names of files, types, shapes, exit statuses. Times, dates, versions
and folders are taken out. What downloads, takes minutes or measures time (fetch, train-letter, benches) has its help
and its refusals here, no results. Everything takes some minutes; sums are computed by one thread, as
OMP_NUM_THREADS=1 says unless it is set.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

from tests.golden.run import main

sys.exit(main())
