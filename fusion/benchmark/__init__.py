"""The benchmark: fusion methods measured over a folder of pairs, and a report to read and to cite."""
