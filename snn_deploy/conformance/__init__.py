"""The referee: does a reader of NIR files compute what the files mean? Golden graphs, verdicts, a matrix."""
