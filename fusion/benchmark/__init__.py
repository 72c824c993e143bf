"""What fusion methods are worth: any number of them over a folder of pairs, as a report to read and to cite."""
