"""The experiments that print the tables of the documentation.

python -m fusion.benchmark.experiments             lists them
python -m fusion.benchmark.experiments.NAME        runs one; --help says what it takes
"""
