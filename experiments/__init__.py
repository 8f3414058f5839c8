"""The claims as experiments: declared, run by the real binaries, reported.

`claims/` holds one declaration per claim, `logs/` one small JSON Lines file per
finished cell. `python -m experiments.run` runs the cells without a log;
`python -m experiments.report` writes docs/results.md from the logs alone.
"""
