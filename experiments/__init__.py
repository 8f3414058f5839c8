"""The claims as experiments: declared, run by the real binaries, reported.

claims/*.toml       one declaration per claim; claims/settings.toml is shared
logs/               one small JSON Lines file per finished cell, committed
run.py              `python -m experiments.run`: fills in what is missing
report.py           `python -m experiments.report`: docs/results.md from logs
"""
