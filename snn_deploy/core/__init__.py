"""The ground floor: errors, files, documents and the registry. Nothing here needs torch."""
