"""On-disk formats of event recordings, read in parts of bounded size; every file is untrusted."""
